//! One case for callgrind, by its name: `run.py` has it counted and compares. What is counted is [`collect_instructions`] and
//! what it calls.

use corecast_benches::{FanOut, Frames, Heads, JsonPublish, KEY, Placed, Service};
use corecast_protocol::Opcode;
use corecast_protocol::mask::apply_mask;
use std::hint::black_box;
use std::process::ExitCode;

/// A part of the server that does the same work each time.
trait Case {
    /// What has to be done before each run; it is not counted.
    fn prepare(&mut self) {}

    fn run(&mut self);
}

type Make = fn() -> Box<dyn Case>;

const CASES: [(&str, Make); 13] = [
    ("parse_64_binary", || Box::new(Parse { frames: Frames::masked(Opcode::Binary, 64, 1), messages: 1 })),
    ("parse_16k_text", || Box::new(Parse { frames: Frames::masked(Opcode::Text, 16 << 10, 1), messages: 1 })),
    ("parse_100_text", || Box::new(Parse { frames: Frames::masked(Opcode::Text, 64, 100), messages: 100 })),
    ("unmask_64", || Box::new(Unmask(Placed::new(&[b'x'; 64], HEADER)))),
    ("unmask_16k", || Box::new(Unmask(Placed::new(&[b'x'; 16 << 10], HEADER)))),
    ("append_64", || Box::new(Append { topic: FanOut::new(MEMBERS, 64), messages: 1 })),
    ("append_16x64", || Box::new(Append { topic: FanOut::new(MEMBERS, 64), messages: 16 })),
    ("deliver_1", || Box::new(Deliver { topic: FanOut::new(MEMBERS, 64), messages: 1 })),
    ("deliver_16", || Box::new(Deliver { topic: FanOut::new(MEMBERS, 64), messages: 16 })),
    ("shard_1", || Box::new(Service::new(MEMBERS, 64))),
    ("http_upgrade", || Box::new(Upgrade(Heads::default()))),
    ("http_post", || Box::new(Post(Heads::default()))),
    ("json_publish", || Box::new(JsonPublish::default())),
];

const MEMBERS: u32 = 1_000;
/// How far behind a page's start a payload begins.
const HEADER: usize = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => {
            for (name, _) in CASES {
                println!("{name}");
            }
        }
        [name, runs] => {
            let (Some((_, make)), Ok(runs)) = (CASES.iter().find(|case| case.0 == name), runs.parse()) else {
                eprintln!("there is no case {name:?}, or {runs:?} is no number of runs");
                return ExitCode::from(2);
            };
            count(&mut *make(), runs);
        }
        _ => {
            eprintln!("usage: instructions --list | instructions CASE RUNS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn count(case: &mut dyn Case, runs: u32) {
    // The first run asks the CPU what it can do and makes buffers grow.
    case.prepare();
    case.run();
    for _ in 0..runs {
        case.prepare();
        collect_instructions(case);
    }
}

/// Callgrind is told to collect inside of this function, by its name.
#[inline(never)]
fn collect_instructions(case: &mut dyn Case) {
    case.run();
}

// Cases ---------------------------------------------------------------------------------------------------------

struct Parse {
    frames: Frames,
    messages: usize,
}

impl Case for Parse {
    fn prepare(&mut self) {
        self.frames.receive();
    }

    fn run(&mut self) {
        assert_eq!(self.frames.parse(), self.messages, "every frame is a message");
    }
}

struct Unmask(Placed);

impl Case for Unmask {
    fn run(&mut self) {
        apply_mask(black_box(self.0.bytes()), black_box(KEY), 0);
    }
}

struct Append {
    topic: FanOut,
    messages: usize,
}

impl Case for Append {
    /// The log is empty, as it is where everybody has caught up.
    fn prepare(&mut self) {
        self.topic.pass();
    }

    fn run(&mut self) {
        self.topic.append(self.messages);
    }
}

struct Deliver {
    topic: FanOut,
    messages: usize,
}

impl Case for Deliver {
    fn prepare(&mut self) {
        self.topic.append(self.messages);
    }

    fn run(&mut self) {
        self.topic.pass();
    }
}

/// With what the fake ring takes for the receive, which is little beside what a thousand subscribers take.
impl Case for Service {
    fn run(&mut self) {
        assert_eq!(self.publish(1), u64::from(MEMBERS), "one send each");
    }
}

struct Upgrade(Heads);

impl Case for Upgrade {
    fn run(&mut self) {
        black_box(self.0.upgrade());
    }
}

struct Post(Heads);

impl Case for Post {
    fn run(&mut self) {
        black_box(self.0.post());
    }
}

impl Case for JsonPublish {
    fn prepare(&mut self) {
        self.pass();
    }

    fn run(&mut self) {
        self.publish();
    }
}
