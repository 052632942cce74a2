//! MQTT 3.1.1 with QoS 0, which is sent once and not answered.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use uuid::Uuid;

use super::{Acks, AnswerForm, Party, Protocol, SUBJECT, connect, expect};

/// The one protocol of this kind.
#[derive(Debug, Clone, Copy)]
pub struct Mqtt;

impl Protocol for Mqtt {
    fn publish(&self, out: &mut Vec<u8>, body: &[u8]) {
        out.push(0x30);
        write_remaining_length(out, 2 + SUBJECT.len() + body.len());
        write_text(out, SUBJECT);
        out.extend_from_slice(body);
    }

    fn delivered_bytes(&self, body_bytes: usize) -> usize {
        let remaining = 2 + SUBJECT.len() + body_bytes;
        let mut prefix = Vec::new();
        write_remaining_length(&mut prefix, remaining);
        1 + prefix.len() + remaining
    }

    fn receiver(&self, address: SocketAddr, _names: &[&str]) -> io::Result<Party> {
        let mut stream = open(address)?;
        let mut packet = vec![0x82];
        write_remaining_length(&mut packet, 2 + 2 + SUBJECT.len() + 1);
        packet.extend_from_slice(&[0, 1]);
        write_text(&mut packet, SUBJECT);
        packet.push(0);
        stream.write_all(&packet)?;
        expect(&mut stream, &[0x90, 3, 0, 1, 0])?;
        Ok(stream.into())
    }

    fn sender(&self, address: SocketAddr, _acks: Acks) -> io::Result<Party> {
        Ok(open(address)?.into())
    }

    fn answers(&self, _acks: Acks, _receivers: usize) -> AnswerForm {
        AnswerForm::None
    }

    fn idler(&self, address: SocketAddr, _index: usize) -> io::Result<TcpStream> {
        open(address)
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let client_id = Uuid::new_v4().simple().to_string();
    let mut packet = vec![0x10];
    write_remaining_length(&mut packet, 10 + 2 + client_id.len());
    write_text(&mut packet, "MQTT");
    // Version 4, a clean session, an hour between signs of life.
    packet.extend_from_slice(&[4, 2]);
    packet.extend_from_slice(&3600_u16.to_be_bytes());
    write_text(&mut packet, &client_id);
    stream.write_all(&packet)?;
    expect(&mut stream, &[0x20, 2, 0, 0])?;
    Ok(stream)
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("topics and ids are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn write_remaining_length(out: &mut Vec<u8>, mut length: usize) {
    loop {
        let digit = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            return;
        }
    }
}
