//! The ptrace runner leaves a target exactly as it found it.

mod common;

use common::{Target, state};
use floe_parasite::{Arg, Batch, PtraceRunner, Runner};
use floe_tracee::{Visit, seize_all};

#[test]
fn a_sleeping_target_is_left_as_it_was() {
    let target = Target::sleeping();
    let (_, tracee) = seize_all(&[target.pid]).remove(0);
    let tracee = tracee.expect("seize");
    let before = state(&tracee);
    let mut visit = Visit::begin(&tracee, 8192).expect("visit");
    {
        let scratch = visit.scratch();
        let mut runner = PtraceRunner::within(visit.leader(), scratch);
        for _ in 0..100 {
            let mut b = Batch::new();
            let path = b.bytes(b"/dev/null\0");
            let stat = b.zeroed(144);
            let fd = b.call(libc::SYS_open, [path.into(), Arg::Val(0)]);
            b.call(libc::SYS_fstat, [fd.into(), stat.into()]);
            b.call(libc::SYS_close, [fd.into()]);
            let pid = b.call(libc::SYS_getpid, []);
            let bad = b.try_call(libc::SYS_close, [Arg::Val(9999)]);
            let r = runner.run(&b).expect("run");
            assert_eq!(r.value(pid).expect("pid"), target.pid as u64);
            assert_eq!(r.errno(bad), Some(libc::EBADF));
            assert!(r.bytes(stat).iter().any(|&b| b != 0));
        }
    }
    visit.end().expect("end");
    let after = state(&tracee);
    tracee.detach().expect("detach");
    assert_eq!(before, after);
    target.finishes_well();
}
