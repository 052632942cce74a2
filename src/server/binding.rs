//! Listening on all that is asked for, or on nothing.
//!
//! A name is listened on at all its addresses, or a second server could start on the
//! rest and share the clients. Only addresses that this machine doesn't have are
//! left out.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};
use tokio::time::timeout;

use super::StartError;
use crate::limits::{LISTEN_ADDRESSES_MAX, LISTEN_RESOLVE_TIMEOUT};

/// Connections that the system keeps for us to accept.
const BACKLOG: i32 = 1024;
/// Attempts to find a port that is free on all addresses.
const PORT_ATTEMPTS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    setting: String,
    address: SocketAddr,
    /// Whether an IPv6 socket takes no IPv4 connections; see `plan`.
    only_v6: bool,
}

#[derive(Debug)]
struct Unbound {
    wanted: Wanted,
    error: io::Error,
    /// The system chose the port for another address: another may be free.
    try_another_port: bool,
}

/// Listens on all addresses of `listen`.
pub(super) async fn bind(listen: &[String]) -> Result<Vec<TcpListener>, StartError> {
    let wanted = resolve(listen, async |address: String| {
        Ok(lookup_host(address).await?.collect())
    });
    let planned = plan(wanted.await?);
    let sockets = bind_all(&planned, &mut open).map_err(|unbound| unbound.explained())?;
    let listeners = sockets.into_iter().map(|(wanted, socket)| {
        TcpListener::from_std(socket).map_err(|source| StartError::Listen {
            address: wanted.setting,
            source,
        })
    });
    listeners.collect()
}

/// The addresses of all settings, in their order.
async fn resolve<L>(
    listen: &[String],
    lookup: impl Fn(String) -> L,
) -> Result<Vec<Wanted>, StartError>
where
    L: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let mut all = Vec::new();
    for setting in listen {
        let failed = |source| StartError::Listen {
            address: setting.clone(),
            source,
        };
        let fault = |kind, problem: &str| failed(io::Error::new(kind, problem));
        let found = timeout(LISTEN_RESOLVE_TIMEOUT, lookup(setting.clone())).await;
        let late = |_| fault(ErrorKind::TimedOut, "its name was not resolved in time");
        let addresses = found.map_err(late)?.map_err(failed)?;
        if addresses.is_empty() {
            return Err(fault(ErrorKind::NotFound, "the name has no address"));
        }
        all.extend(addresses.into_iter().map(|address| Wanted {
            setting: setting.clone(),
            address,
            only_v6: false,
        }));
        if all.len() > LISTEN_ADDRESSES_MAX {
            let problem = format!("more than {LISTEN_ADDRESSES_MAX} addresses in all");
            return Err(fault(ErrorKind::InvalidInput, &problem));
        }
    }
    Ok(all)
}

/// Leaves out repeated addresses, and returns how to listen on the rest. `[::]`
/// takes IPv4 connections as well, unless an IPv4 address is beside it.
fn plan(wanted: Vec<Wanted>) -> Vec<Wanted> {
    let mut distinct: Vec<Wanted> = Vec::new();
    for mut wanted in wanted {
        let ip = wanted.address.ip().to_canonical();
        if ip != wanted.address.ip() {
            wanted.address.set_ip(ip);
        }
        if distinct.iter().all(|other| other.address != wanted.address) {
            distinct.push(wanted);
        }
    }
    let is_covered = |wanted: &Wanted| {
        distinct.iter().any(|other| {
            other.address != wanted.address
                && other.address.ip().is_unspecified()
                && other.address.is_ipv4() == wanted.address.is_ipv4()
                && other.address.port() == wanted.address.port()
        })
    };
    let has_v4_beside = |wanted: &Wanted| {
        (distinct.iter())
            .any(|other| other.address.is_ipv4() && other.address.port() == wanted.address.port())
    };
    (distinct.iter())
        .filter(|wanted| !is_covered(wanted))
        .map(|wanted| Wanted {
            only_v6: match wanted.address.ip() {
                IpAddr::V4(_) => false,
                IpAddr::V6(ip) => !ip.is_unspecified() || has_v4_beside(wanted),
            },
            ..wanted.clone()
        })
        .collect()
}

/// Binds all of `planned` by `bind`, which gives a socket and its address, except
/// addresses that this machine doesn't have. Those with port 0 get the same port.
fn bind_all<S>(
    planned: &[Wanted],
    bind: &mut impl FnMut(SocketAddr, bool) -> io::Result<(S, SocketAddr)>,
) -> Result<Vec<(Wanted, S)>, Unbound> {
    let mut attempts = 1;
    loop {
        match try_to_bind_all(planned, bind) {
            Err(unbound) if unbound.try_another_port && attempts < PORT_ATTEMPTS => attempts += 1,
            outcome => return outcome,
        }
    }
}

fn try_to_bind_all<S>(
    planned: &[Wanted],
    bind: &mut impl FnMut(SocketAddr, bool) -> io::Result<(S, SocketAddr)>,
) -> Result<Vec<(Wanted, S)>, Unbound> {
    // Ports that are asked for come first, so that none is picked for the others.
    let mut order: Vec<usize> = (0..planned.len()).collect();
    order.sort_by_key(|&at| planned[at].address.port() == 0);
    let mut picked = None;
    let mut bound = BTreeMap::new();
    let mut absent = Vec::new();
    for at in order {
        let wanted = &planned[at];
        let mut address = wanted.address;
        let any_port = address.port() == 0;
        address.set_port(picked.filter(|_| any_port).unwrap_or(address.port()));
        match bind(address, wanted.only_v6) {
            Ok((socket, local)) => {
                picked = picked.or(any_port.then_some(local.port()));
                bound.insert(at, (wanted.clone(), socket));
            }
            Err(error) if is_absent(&error) => absent.push((wanted, error)),
            Err(error) => {
                let is_taken = error.kind() == ErrorKind::AddrInUse;
                return Err(Unbound {
                    try_another_port: any_port && picked.is_some() && is_taken,
                    wanted: wanted.clone(),
                    error,
                });
            }
        }
    }
    if bound.is_empty()
        && let Some((wanted, error)) = absent.pop()
    {
        return Err(Unbound {
            wanted: wanted.clone(),
            error,
            try_another_port: false,
        });
    }
    for (
        Wanted {
            setting, address, ..
        },
        error,
    ) in absent
    {
        tracing::warn!(%address, %error, "not listening on one of the addresses of {setting}");
    }
    Ok(bound.into_values().collect())
}

/// Returns whether the machine has no such address, or none of its family.
fn is_absent(error: &io::Error) -> bool {
    #[cfg(not(windows))]
    const FAMILY: i32 = libc::EAFNOSUPPORT;
    #[cfg(windows)]
    const FAMILY: i32 = 10_047;
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(FAMILY)
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        let set = socket.set_only_v6(only_v6);
        // Where IPv6 sockets never take IPv4 connections, they still serve.
        if only_v6 {
            set?;
        }
    }
    // On Windows it would let two servers share an address.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = std::net::TcpListener::from(socket);
    let local = listener.local_addr()?;
    Ok((listener, local))
}

impl Unbound {
    fn explained(self) -> StartError {
        let Wanted {
            setting, address, ..
        } = self.wanted;
        let literal = address.to_string();
        StartError::Listen {
            address: match setting == literal {
                true => setting,
                false => format!("{setting} ({literal})"),
            },
            source: self.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(addresses: &[&str]) -> Vec<Wanted> {
        let wanted = addresses.iter().map(|address| Wanted {
            setting: "name:1".to_owned(),
            address: address.parse().unwrap(),
            only_v6: false,
        });
        wanted.collect()
    }

    fn planned(addresses: &[&str]) -> Vec<(String, bool)> {
        let planned = plan(wanted(addresses)).into_iter();
        planned
            .map(|planned| (planned.address.to_string(), planned.only_v6))
            .collect()
    }

    fn v4(address: &str) -> (String, bool) {
        (address.to_owned(), false)
    }

    fn only_v6(address: &str) -> (String, bool) {
        (address.to_owned(), true)
    }

    #[test]
    fn an_address_is_bound_once() {
        let twice = [
            "127.0.0.1:1",
            "[::1]:1",
            "127.0.0.1:1",
            "[::ffff:127.0.0.1]:1",
        ];
        assert_eq!(planned(&twice), [v4("127.0.0.1:1"), only_v6("[::1]:1")]);
        let two_ports = ["127.0.0.1:1", "127.0.0.1:2"];
        assert_eq!(planned(&two_ports), two_ports.map(v4));
        // An address that a wildcard covers would be in use.
        let covered = ["127.0.0.1:1", "[::1]:1", "0.0.0.0:1"];
        assert_eq!(planned(&covered), [only_v6("[::1]:1"), v4("0.0.0.0:1")]);
        assert_eq!(planned(&["[::1]:1", "[::]:1"]), [v4("[::]:1")]);
    }

    #[test]
    fn the_ipv6_wildcard_takes_both_families_unless_the_other_is_asked_for_as_well() {
        assert_eq!(planned(&["[::]:1"]), [v4("[::]:1")]);
        let both = ["[::]:1", "0.0.0.0:1"];
        assert_eq!(planned(&both), [only_v6("[::]:1"), v4("0.0.0.0:1")]);
        let one = ["127.0.0.1:0", "[::]:0"];
        assert_eq!(planned(&one), [v4("127.0.0.1:0"), only_v6("[::]:0")]);
        let elsewhere = ["[::]:1", "0.0.0.0:2"];
        assert_eq!(planned(&elsewhere), elsewhere.map(v4));
    }

    type Answer = Result<u16, ErrorKind>;

    /// Binds `addresses` on a machine that answers like this, one attempt after
    /// the other. Gives the addresses bound, and those that were tried.
    fn bound(addresses: &[&str], answers: &[Answer]) -> (Result<Vec<String>, ErrorKind>, usize) {
        let mut tried = 0;
        let outcome = bind_all(&plan(wanted(addresses)), &mut |mut address, _| {
            let answer = answers[tried.min(answers.len() - 1)];
            tried += 1;
            let port = answer.map_err(io::Error::from)?;
            if address.port() == 0 {
                address.set_port(port);
            }
            Ok((address.to_string(), address))
        });
        let sockets = |bound: Vec<(Wanted, String)>| bound.into_iter().map(|(_, s)| s).collect();
        let kind = |unbound: Unbound| unbound.error.kind();
        (outcome.map(sockets).map_err(kind), tried)
    }

    const IN_USE: Answer = Err(ErrorKind::AddrInUse);
    const ABSENT: Answer = Err(ErrorKind::AddrNotAvailable);

    #[test]
    fn what_the_machine_does_not_have_is_left_out_but_not_all() {
        let both = ["[::1]:1", "127.0.0.1:1"];
        let outcome = bound(&both, &[ABSENT, Ok(0)]);
        assert_eq!(outcome, (Ok(vec!["127.0.0.1:1".to_owned()]), 2));
        let (outcome, _) = bound(&both, &[ABSENT, ABSENT]);
        assert_eq!(outcome, Err(ErrorKind::AddrNotAvailable));
    }

    #[cfg(unix)]
    #[test]
    fn a_machine_without_the_family_has_no_such_address() {
        assert!(is_absent(&io::Error::from_raw_os_error(libc::EAFNOSUPPORT)));
        assert!(is_absent(&io::Error::from_raw_os_error(
            libc::EADDRNOTAVAIL
        )));
        assert!(!is_absent(&io::Error::from_raw_os_error(libc::EADDRINUSE)));
        assert!(!is_absent(&io::Error::from_raw_os_error(libc::EACCES)));
    }

    #[test]
    fn one_that_is_in_use_or_not_allowed_ends_the_start() {
        let both = ["[::1]:1", "127.0.0.1:1"];
        for kind in [ErrorKind::AddrInUse, ErrorKind::PermissionDenied] {
            assert_eq!(bound(&both, &[Ok(0), Err(kind)]), (Err(kind), 2));
        }
    }

    #[test]
    fn port_0_becomes_the_same_port_everywhere() {
        let mixed = ["[::1]:0", "10.0.0.1:9", "127.0.0.1:0"];
        // The port that is asked for is bound first; the order stays.
        let (outcome, _) = bound(&mixed, &[Ok(0), Ok(5), Ok(6)]);
        let expected = ["[::1]:5", "10.0.0.1:9", "127.0.0.1:5"];
        assert_eq!(outcome.unwrap(), expected);
        // The one that would have picked it is left out.
        let (outcome, _) = bound(&["[::1]:0", "127.0.0.1:0"], &[ABSENT, Ok(6)]);
        assert_eq!(outcome.unwrap(), ["127.0.0.1:6"]);
    }

    #[test]
    fn a_port_that_is_free_on_one_address_only_is_given_up_for_another() {
        let both = ["[::1]:0", "127.0.0.1:0"];
        let (outcome, tried) = bound(&both, &[Ok(5), IN_USE, Ok(6), Ok(0)]);
        assert_eq!((outcome.unwrap().len(), tried), (2, 4));
        // But not for ever.
        let answers = [Ok(5), IN_USE].repeat(100);
        let (outcome, tried) = bound(&both, &answers);
        assert_eq!(outcome, Err(ErrorKind::AddrInUse));
        assert_eq!(tried, 2 * PORT_ATTEMPTS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_not_resolved_ends_the_start_in_time() {
        let settings = ["here:1".to_owned(), "nowhere:1".to_owned()];
        let outcome = resolve(&settings, async |setting| {
            if setting == "nowhere:1" {
                std::future::pending::<()>().await;
            }
            Ok(vec!["127.0.0.1:1".parse().unwrap()])
        });
        let error = outcome.await.unwrap_err().to_string();
        let expected = "can't listen on nowhere:1: its name was not resolved in time";
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_are_taken() {
        let settings = ["both:1".to_owned(), "none:1".to_owned()];
        let lookup = async |setting: String| {
            Ok(match &*setting {
                "both:1" => vec!["[::1]:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap()],
                _ => Vec::new(),
            })
        };
        assert_eq!(resolve(&settings[..1], lookup).await.unwrap().len(), 2);
        assert!(resolve(&settings, lookup).await.is_err());
    }

    #[tokio::test]
    async fn both_wildcards_share_a_port() {
        let v4 = "0.0.0.0:0".to_owned();
        let v6 = "[::]:0".to_owned();
        let listeners = bind(&[v6, v4]).await.unwrap();
        let ports: Vec<_> = (listeners.iter())
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        // A machine without IPv6 has one.
        assert!(ports.iter().all(|port| *port == ports[0]));
        let again = format!("127.0.0.1:{}", ports[0]);
        let error = bind(&[again]).await.unwrap_err();
        let StartError::Listen { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), ErrorKind::AddrInUse);
    }
}
