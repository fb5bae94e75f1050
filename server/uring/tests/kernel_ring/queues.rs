//! Submission and completion queues: waiting, waking, overflowing, and what a ring refuses.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::Duration;

use corecast_uring::{Errno, File, KernelRing, Op, Ring, RingConfig, RingError, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bench::{Bench, CANCEL, PATIENCE, RECEIVE, TIMEOUT, config, token};

const NOW: Duration = Duration::ZERO;

/// Waits at most this long.
fn is_readable(eventfd: &OwnedFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).unwrap();
    poll(&mut [PollFd::new(eventfd, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

/// Both ends of each, with room for others' tests. Says SKIPPED if not.
fn has_descriptors_for(connections: usize) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let is_enough = limit.is_none_or(|limit| limit >= 1024);
    if !is_enough {
        println!("SKIPPED: RLIMIT_NOFILE is too small for {connections} connections");
    }
    is_enough
}

#[test]
fn eventfd_counts_when_something_arrives() {
    let mut bench = Bench::new(RingConfig { eventfd: true, ..config() });
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    while bench.ring.has_work() {
        bench.ring.poll(&mut bench.waiting);
    }
    let eventfd = bench.ring.eventfd().expect("configured").try_clone_to_owned().unwrap();
    // What has happened so far may have been announced.
    if is_readable(&eventfd, NOW) {
        rustix::io::read(&eventfd, &mut [0; 8]).unwrap();
    }
    assert!(!is_readable(&eventfd, NOW));
    peer.write_all(b"x").unwrap();
    assert!(is_readable(&eventfd, PATIENCE), "the eventfd never fired");
    assert!(bench.ring.has_work());
    assert_eq!(bench.next(RECEIVE).result, Ok(1));
}

#[test]
fn idle_poll_makes_no_system_call() {
    let mut bench = Bench::new(config());
    let (_file, _peer) = bench.pair();
    while bench.ring.has_work() {
        bench.ring.poll(&mut bench.waiting);
    }
    let enters = bench.ring.stats().enters;
    bench.ring.poll(&mut bench.waiting);
    assert_eq!(bench.ring.stats().enters, enters);
}

#[test]
fn timeout_fires_once() {
    let mut bench = Bench::new(config());
    let completion = bench.run(TIMEOUT, File(0), Op::Timeout { after: Duration::from_millis(1) });
    assert_eq!(completion.result, Err(Errno::ETIME));
    assert!(!completion.more);
}

#[test]
fn cancelled_timeout_does_not_fire() {
    let mut bench = Bench::new(config());
    bench.ring.push(token(TIMEOUT, File(0)), Op::Timeout { after: Duration::from_secs(3600) });
    let cancel = bench.run(CANCEL, File(0), Op::Cancel { target: token(TIMEOUT, File(0)) });
    assert_eq!(cancel.result, Ok(0));
    assert_eq!(bench.next(TIMEOUT).result, Err(Errno::ECANCELED));
}

#[test]
fn wait_returns_with_nothing_when_the_time_is_over() {
    let mut bench = Bench::new(config());
    bench.ring.wait(Some(Duration::from_millis(1)), &mut bench.waiting);
    assert!(bench.waiting.is_empty());
}

#[test]
fn times_without_end_are_cut_to_what_the_kernel_can_count() {
    let mut bench = Bench::new(config());
    bench.ring.push(token(TIMEOUT, File(0)), Op::Timeout { after: Duration::MAX });
    bench.ring.push(token(CANCEL, File(1)), Op::Timeout { after: Duration::from_millis(1) });
    // A time that overflowed would be over at once, or be refused.
    bench.ring.wait(Some(Duration::MAX), &mut bench.waiting);
    assert_eq!(bench.waiting.len(), 1, "{:?}", bench.waiting);
    let short = bench.waiting.remove(0);
    assert_eq!((short.token, short.result), (token(CANCEL, File(1)), Err(Errno::ETIME)));
}

#[test]
fn more_operations_than_the_queue_holds_submit_themselves() {
    let mut bench = Bench::new(RingConfig { submission_entries: 4, ..config() });
    for generation in 0..100 {
        let after = Duration::from_micros(u64::from(generation));
        bench.ring.push(Token::new(TIMEOUT, 0, generation), Op::Timeout { after });
    }
    let mut generations: Vec<u32> = (0..100).map(|_| bench.next(TIMEOUT).token.generation()).collect();
    generations.sort_unstable();
    assert_eq!(generations, (0..100).collect::<Vec<_>>());
    // Nudges of the ring's own may be among them.
    assert!(bench.ring.stats().sqes >= 100, "{:?}", bench.ring.stats());
}

#[test]
fn overflowing_completion_queue_loses_nothing() {
    let mut bench = Bench::new(RingConfig { submission_entries: 4, completion_entries: 4, ..config() });
    for generation in 0..100 {
        bench.ring.push(Token::new(TIMEOUT, 0, generation), Op::Timeout { after: Duration::from_hours(1) });
    }
    for generation in 0..100 {
        let target = Token::new(TIMEOUT, 0, generation);
        bench.ring.push(Token::new(CANCEL, 0, generation), Op::Cancel { target });
    }
    let mut generations: Vec<u32> = (0..100).map(|_| bench.next(TIMEOUT).token.generation()).collect();
    generations.sort_unstable();
    assert_eq!(generations, (0..100).collect::<Vec<_>>());
    for _ in 0..100 {
        assert_eq!(bench.next(CANCEL).result, Ok(0));
    }
    // It takes some 25 rounds to take out what one overflow holds.
    let overflows = bench.ring.stats().cq_overflows;
    eprintln!("OVERFLOWS {overflows}");
    assert!((1..10).contains(&overflows), "{overflows}");
}

#[test]
fn more_rings_than_a_thread_has_indexes_work_on_one_thread() {
    // A thread can register 16. Making, dropping and making anew shows that a dropped ring gives its index
    // back.
    for _ in 0..3 {
        let mut benches: Vec<_> = (0..20).map(|_| Bench::new(config())).collect();
        for bench in &mut benches {
            assert_eq!(
                bench.run(TIMEOUT, File(0), Op::Timeout { after: Duration::from_millis(1) }).result,
                Err(Errno::ETIME)
            );
        }
    }
}

#[test]
#[should_panic(expected = "kinds from 0xF0 belong to the ring")]
fn reserved_kinds_are_refused() {
    Bench::new(config()).ring.push(Token::new(0xF0, 0, 0), Op::Close { file: File(0) });
}

#[test]
fn table_beyond_the_limit_of_open_files_is_explained() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(limit) = limit.filter(|&limit| limit < 1 << 20) else {
        println!("SKIPPED: RLIMIT_NOFILE is too large to exceed here");
        return;
    };
    let files = u32::try_from(limit).unwrap() + 1;
    let error = KernelRing::new(&RingConfig { files, ..config() }).expect_err("one more than the limit");
    assert!(
        matches!(error, RingError::OpenFiles { needed, limit: seen } if needed == limit + 1 && seen == limit)
    );
    assert!(error.to_string().contains("LimitNOFILE="), "{error}");
}

/// What arrived before a timeout is cancelled completes before that: so it marks how far the kernel has got.
#[test]
fn turns_are_short_when_asked_for_and_a_cancelled_timeout_comes_behind_what_waits() {
    let sockets = 200;
    if !has_descriptors_for(sockets) {
        return;
    }
    let mut bench =
        Bench::new(RingConfig { files: 512, receive_buffers: 256, turn_completions: 1, ..config() });
    let mut ends = bench.pairs_unix(sockets);
    for (file, _) in &ends {
        bench.ring.push(token(RECEIVE, *file), Op::Receive { file: *file });
    }
    bench.ring.poll(&mut bench.waiting);
    while bench.ring.has_work() {
        bench.ring.poll(&mut bench.waiting);
    }
    assert!(bench.waiting.is_empty(), "{:?}", bench.waiting);
    for (_, peer) in &mut ends {
        peer.write_all(b"x").unwrap();
    }
    bench.ring.push(token(TIMEOUT, File(0)), Op::Timeout { after: Duration::from_secs(3600) });
    bench.ring.push(token(CANCEL, File(0)), Op::Cancel { target: token(TIMEOUT, File(0)) });
    let mut tokens = Vec::new();
    while bench.ring.has_work() {
        let enters = bench.ring.stats().enters;
        bench.ring.poll(&mut bench.waiting);
        assert!(!bench.waiting.is_empty(), "a poll that has work brings something");
        assert!(bench.ring.stats().enters <= enters + 1, "and then asks for no more");
        tokens.extend(bench.waiting.drain(..).map(|completion| completion.token));
    }
    tokens.retain(|found| *found != token(CANCEL, File(0)));
    assert_eq!(tokens.pop(), Some(token(TIMEOUT, File(0))), "behind all that had arrived");
    let expected: Vec<Token> = ends.iter().map(|(file, _)| token(RECEIVE, *file)).collect();
    assert_eq!(tokens, expected, "in the order of arrival");
}

#[test]
fn work_without_completions_hides_nothing_behind_it() {
    // Newer kernels run 20 pieces of deferred work in one call.
    let sockets = 300;
    if !has_descriptors_for(sockets) {
        return;
    }
    let mut bench = Bench::new(RingConfig { files: 512, eventfd: true, ..config() });
    let eventfd = bench.ring.eventfd().expect("configured").try_clone_to_owned().unwrap();
    let mut ends = bench.pairs_unix(sockets);
    for (file, _) in &ends {
        bench.ring.push(token(RECEIVE, *file), Op::Receive { file: *file });
    }
    let run_dry = |bench: &mut Bench| {
        for _ in 0..10_000 {
            bench.ring.poll(&mut bench.waiting);
            if !bench.ring.has_work() {
                return;
            }
        }
        panic!("the ring has work for ever");
    };
    run_dry(&mut bench);
    assert!(bench.waiting.is_empty(), "{:?}", bench.waiting);
    // A far end that stops reading wakes the armed receive, which finds nothing: work without a completion.
    for (_, peer) in &ends {
        peer.shutdown(Shutdown::Read).unwrap();
    }
    run_dry(&mut bench);
    assert!(bench.waiting.is_empty(), "{:?}", bench.waiting);
    // Twice: what the first leaves undone would keep the second from being announced.
    for (file, peer) in ends.iter_mut().rev().take(2) {
        if is_readable(&eventfd, NOW) {
            rustix::io::read(&eventfd, &mut [0; 8]).unwrap();
        }
        peer.write_all(b"x").unwrap();
        assert!(is_readable(&eventfd, PATIENCE), "the eventfd never fired");
        run_dry(&mut bench);
        assert_eq!(bench.waiting.len(), 1, "{:?}", bench.waiting);
        assert_eq!(bench.waiting.remove(0).token, token(RECEIVE, *file));
    }
}
