//! Fields of /proc/PID/status: each is known here, so that what a kernel to come shows of a thread is not lost in silence.

use crate::subject::Thread;
use floe_records::{Finding, Findings, Pid};

/// What is to be said of a field.
enum Field {
    /// It is carried, refused or lost by a rule of its own, or follows from what is.
    Known,
    /// It is not carried: a process comes back with this value.
    Always(&'static str),
    /// A field of another kernel.
    Unknown,
}

fn field(name: &[u8]) -> Field {
    match name {
        // Ids and relations; NUMA balancing groups tasks by itself (Ngid).
        b"Name" | b"Tgid" | b"Ngid" | b"Pid" | b"PPid" | b"TracerPid" | b"NStgid" | b"NSpid"
        | b"NSpgid" | b"NSsid" | b"Kthread" | b"State" | b"Threads" | b"FDSize" => Field::Known,
        // Credentials and settings.
        b"Umask"
        | b"Uid"
        | b"Gid"
        | b"Groups"
        | b"CapInh"
        | b"CapPrm"
        | b"CapEff"
        | b"CapBnd"
        | b"CapAmb"
        | b"NoNewPrivs"
        | b"Seccomp"
        | b"Seccomp_filters"
        | b"THP_enabled"
        | b"Speculation_Store_Bypass"
        | b"SpeculationIndirectBranch" => Field::Known,
        // Signals.
        b"SigQ" | b"SigPnd" | b"ShdPnd" | b"SigBlk" | b"SigIgn" | b"SigCgt" => Field::Known,
        // Sizes, which follow from the mappings.
        b"VmPeak" | b"VmSize" | b"VmLck" | b"VmPin" | b"VmHWM" | b"VmRSS" | b"RssAnon"
        | b"RssFile" | b"RssShmem" | b"VmData" | b"VmStk" | b"VmExe" | b"VmLib" | b"VmPTE"
        | b"VmPMD" | b"VmSwap" | b"HugetlbPages" => Field::Known,
        // Scheduling; nodes are those of the cgroup.
        b"Cpus_allowed"
        | b"Cpus_allowed_list"
        | b"Mems_allowed"
        | b"Mems_allowed_list"
        | b"voluntary_ctxt_switches"
        | b"nonvoluntary_ctxt_switches" => Field::Known,
        b"CoreDumping" => Field::Always("0"),
        // Tagged addresses, shadow stacks.
        b"untag_mask" => Field::Always("0xffffffffffffffff"),
        b"x86_Thread_features" | b"x86_Thread_features_locked" => Field::Always(""),
        _ => Field::Unknown,
    }
}

/// Looks at a thread; the same of several threads is told once.
pub(crate) fn check(thread: &Thread<'_>, out: &mut Findings) {
    for (name, value) in thread.status.fields() {
        let value = || String::from_utf8_lossy(value);
        let problem = match field(name) {
            Field::Known => continue,
            Field::Always(usual) if value() == usual => continue,
            Field::Always(_) => format!("\"{}\" is not carried", value()),
            Field::Unknown => "what it says is not known, and not carried".to_owned(),
        };
        let object = format!("field {} of /proc/PID/status", String::from_utf8_lossy(name));
        out.lose(Finding::of(Pid(thread.pid), object, "thread.status", problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use floe_proc::Status;

    fn lost(text: &str) -> Vec<String> {
        let mut found = Findings::default();
        let status = Status::parse(7, text.as_bytes().to_vec()).unwrap();
        check(&Thread::of_status(7, status), &mut found);
        found.lost.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fields_of_this_kernel_are_known() {
        let own =
            String::from_utf8(floe_proc::read(std::process::id(), "status").unwrap()).unwrap();
        assert_eq!(lost(&own), [""; 0]);
    }

    #[test]
    fn what_is_not_known_or_not_usual_is_lost() {
        assert_eq!(lost("Name:\tx\nCoreDumping:\t0\nx86_Thread_features:\t\n"), [""; 0]);
        let lost = lost("Name:\tx\nx86_Thread_features:\tshstk \nNewField:\t1\n");
        let shadow =
            "pid 7: field x86_Thread_features of /proc/PID/status: \"shstk\" is not carried";
        assert_eq!(lost[0], shadow);
        let new =
            "pid 7: field NewField of /proc/PID/status: what it says is not known, and not carried";
        assert_eq!(lost[1], new);
    }
}
