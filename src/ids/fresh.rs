//! Fresh ids without a system call for each: UUIDs of version 7, from a generator for
//! each thread.
//!
//! The first 60 bits beside version and variant are the time, in 4096 ticks a
//! millisecond (RFC 9562, section 6.2, method 3), and 62 bits are random. Within a
//! thread each id is greater than the one before, also where the clock stands still or
//! steps back: then the random bits grow by a random step. They tell nobody how many
//! ids lie between two.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// Parts of a millisecond that an id tells.
const TICKS_PER_MILLI: u64 = 1 << 12;
/// The greatest value of the random bits.
const TAIL_MAX: u64 = (1 << 62) - 1;
/// With less room than this above the latest random bits, an id gets a later tick:
/// a random step within it could be made by another thread as well.
const STEP_ROOM_MIN: u64 = 1 << 48;

thread_local! {
    static GENERATOR: RefCell<Generator> = RefCell::new(Generator::new());
}

/// The number of forks that lie between the first process and this one.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Has forks counted once a process.
#[cfg(unix)]
static WATCH: std::sync::Once = std::sync::Once::new();

/// The state of one thread.
#[derive(Debug)]
struct Generator {
    /// The time of the latest id, in ticks since 1970.
    tick: u64,
    /// The random bits of the latest id.
    tail: u64,
    random: StdRng,
    /// The value of [`FORKS`] when `random` was seeded.
    forks: u64,
}

/// Makes an id for a message of the time `unix`, since 1970.
pub(super) fn fresh(unix: Duration) -> Uuid {
    GENERATOR.with_borrow_mut(|generator| {
        let forks = FORKS.load(Ordering::Relaxed);
        if generator.forks != forks {
            // The parent goes on with the same state.
            generator.random = seeded();
            generator.forks = forks;
        }
        generator.next(unix)
    })
}

fn seeded() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).expect("the system gives random numbers")
}

impl Generator {
    fn new() -> Self {
        #[cfg(unix)]
        WATCH.call_once(watch_forks);
        Self {
            tick: 0,
            tail: 0,
            random: seeded(),
            forks: FORKS.load(Ordering::Relaxed),
        }
    }

    fn next(&mut self, unix: Duration) -> Uuid {
        let random = self.random.next_u64();
        let tick = tick(unix);
        let room = TAIL_MAX - self.tail;
        if tick <= self.tick && room >= STEP_ROOM_MIN {
            self.tail += 1 + random % room;
        } else {
            self.tick = tick.max(self.tick + 1);
            self.tail = random & TAIL_MAX;
        }
        let millis = self.tick / TICKS_PER_MILLI;
        let fraction = self.tick % TICKS_PER_MILLI;
        let high = millis << 16 | 0x7000 | fraction;
        let low = 1 << 63 | self.tail;
        Uuid::from_u64_pair(high, low)
    }
}

fn tick(unix: Duration) -> u64 {
    let part = u64::from(unix.subsec_nanos() % 1_000_000) * TICKS_PER_MILLI / 1_000_000;
    // 48 bits of milliseconds last until the year 10889.
    let millis = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX) & ((1 << 48) - 1);
    millis * TICKS_PER_MILLI + part
}

/// Has the system call `count` in each process that is forked off this one.
#[cfg(unix)]
#[allow(
    unsafe_code,
    reason = "asking for the process id instead would be a system call for each id"
)]
fn watch_forks() {
    extern "C" fn count() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the function lives as long as the program, and only adds to an atomic,
    // which is allowed in a process that was just forked.
    let failed = unsafe { libc::pthread_atfork(None, None, Some(count)) };
    assert_eq!(failed, 0, "there is memory to watch forks");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(micros: u64) -> Duration {
        Duration::from_millis(1_767_444_060_000) + Duration::from_micros(micros)
    }

    #[test]
    fn an_id_is_of_version_7_and_tells_its_time() {
        let id = fresh(at(1_234_567));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!(
            u128::from(seconds) * 1_000 + u128::from(nanos / 1_000_000),
            at(1_234_567).as_millis()
        );
    }

    #[test]
    fn each_id_is_greater_also_where_the_clock_stands_or_steps_back() {
        let mut generator = Generator::new();
        let mut last = Uuid::nil();
        let steps: [i64; 9] = [0, 0, 500, -2_000_000, 1, 0, 0, 3_000_000, -1];
        let mut micros = 10_000_000;
        for step in steps.into_iter().cycle().take(100_000) {
            micros += step;
            let id = generator.next(at(micros.max(0) as u64));
            assert!(id > last, "{id} comes behind {last}");
            last = id;
        }
        // A clock that stands still doesn't let the time of the ids run away.
        let (start, mut generator) = (tick(at(0)), Generator::new());
        for _ in 0..10_000 {
            generator.next(at(0));
        }
        assert!(generator.tick - start < 1_000, "{}", generator.tick - start);
    }

    #[test]
    fn threads_never_make_the_same_id() {
        let threads: Vec<_> = (0..64)
            .map(|_| std::thread::spawn(|| (0..10_000).map(|_| fresh(at(0))).collect::<Vec<_>>()))
            .collect();
        let mut seen = HashSet::new();
        for thread in threads {
            for id in thread.join().unwrap() {
                assert!(seen.insert(id), "{id} twice");
            }
        }
    }

    /// The process forks while its generator has a state, and both go on at once.
    #[cfg(unix)]
    #[test]
    #[allow(unsafe_code, reason = "to fork")]
    fn a_forked_process_makes_other_ids() {
        use std::io::Read;
        use std::os::fd::AsRawFd;

        fresh(at(0));
        let (mut reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the child calls nothing that another thread could have locked: it
        // allocates nothing, writes to a pipe, and ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let id = fresh(at(0));
            // SAFETY: the bytes are there, and the descriptor is open.
            unsafe {
                libc::write(writer.as_raw_fd(), id.as_bytes().as_ptr().cast(), 16);
                libc::_exit(0);
            }
        }
        drop(writer);
        let own = fresh(at(0));
        let mut other = [0; 16];
        reader.read_exact(&mut other).unwrap();
        // SAFETY: it is a child of this process.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        assert_ne!(Uuid::from_bytes(other), own);
    }
}
