//! What a plan makes of message queues, and what it refuses of them.

use crate::refused::{refuses, rules};
use floe_plan::{Phase, Step, Subject, plan};
use floe_records::*;
use floe_tests::tree::{Builder, machine};

const ID: ObjectId = ObjectId { dev: 1, ino: 2 };

fn queue() -> Queue {
    Queue {
        id: ID,
        name: "/queue".into(),
        removed: false,
        max_messages: 10,
        message_size: 8192,
        messages: 3,
        mode: 0o600,
        uid: 0,
        gid: 0,
        times: [(0, 0); 2],
    }
}

/// A process with a descriptor of the queue for each of them.
fn tree(queue: Option<Queue>, notified: &[Option<Notified>]) -> Tree {
    let mut tree = Builder::new(100);
    queue.into_iter().for_each(|queue| tree.add(queue));
    for (fd, notified) in notified.iter().copied().enumerate() {
        let (pid, path, cloexec) = (Pid(100), None, false);
        let made = |file| MessageQueue { file, pid, queue: ID, path, cloexec, notified };
        let file = tree.file(2, made);
        tree.fd(100, fd as u32, file);
    }
    tree.tree()
}

fn told(fd: u32, signal: u32) -> Option<Notified> {
    Some(Notified { pid: Pid(100), fd: FdNum(fd), signal: Some(signal) })
}

#[test]
fn who_is_told_of_messages_says_so_at_last() {
    let tree = tree(Some(queue()), &[None, told(1, 10)]);
    let steps = plan(&tree, &machine()).expect("a plan").steps;
    let of_queue = |step: &&Step| matches!(step, Step::Apply(_, _, Kind::MessageQueue));
    let applied: Vec<&Step> = steps.iter().filter(of_queue).collect();
    let second = tree.fd(Pid(100), FdNum(1)).expect("a descriptor").file;
    let subject = Subject::File(Pid(100), FdNum(1), second);
    assert!(applied.contains(&&Step::Apply(Phase::Last, subject, Kind::MessageQueue)));
    let at = |wanted: Step| steps.iter().position(|step| *step == wanted);
    assert!(at(Step::Make(Kind::Queue)) < at(Step::Open(second, Kind::MessageQueue)));
}

#[test]
fn impossible_queues_are_refused() {
    assert_eq!(rules(&tree(Some(queue()), &[None]), &machine()), Vec::<String>::new());
    for name in ["", "queue", "/", "/.", "/..", "/a/b", "/a\0"] {
        let other = Queue { name: name.into(), ..queue() };
        refuses("a name of no queue", &tree(Some(other), &[None]), "plan.queue");
    }
    for (max_messages, message_size) in [(0, 1), (1, 0), (65_537, 1), (10, (16 << 20) + 1), (2, 1)]
    {
        let other = Queue { max_messages, message_size, ..queue() };
        refuses("an impossible size", &tree(Some(other), &[None]), "plan.queue");
    }
    let other = Queue { removed: true, ..queue() };
    refuses("messages without a name", &tree(Some(other), &[None]), "plan.queue");
}

#[test]
fn descriptions_have_their_queue_and_who_is_told() {
    refuses("no queue", &tree(None, &[None]), "plan.reference");
    refuses("no descriptor", &tree(Some(queue()), &[told(1, 10)]), "plan.reference");
    refuses(
        "another one's descriptor",
        &tree(Some(queue()), &[told(1, 10), None]),
        "plan.reference",
    );
    for signal in [0, 65] {
        let tree = tree(Some(queue()), &[told(0, signal)]);
        refuses("no signal", &tree, "plan.message_queue");
    }
    let twice = [told(0, 10), told(1, 10)];
    refuses("two that are told", &tree(Some(queue()), &twice), "plan.queue");
}
