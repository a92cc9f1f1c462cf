//! See doc/restore.md.
#![forbid(unsafe_code)]

mod read;

use clap::Parser;
use floe_plan::Step;
use floe_rebuild::{Opened, Wishes, Work};
use floe_records::{Refusal, Refusals};
use std::process::ExitCode;

/// Brings a process tree back to life from a stream or an image on standard input.
#[derive(Parser)]
struct Args {
    /// Leave the tree to init and exit once it runs.
    #[arg(long)]
    detach: bool,
    /// Write the pid of the root task here.
    #[arg(long)]
    pidfile: Option<std::path::PathBuf>,
    /// Give the tree our descriptor FD in the place of an outside one of the same number.
    #[arg(long, value_name = "FD")]
    inherit: Vec<u32>,
    /// Look all paths of the tree up below this directory.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: std::path::PathBuf,
    /// Print the steps and do nothing.
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    floe_toolkit::main("restore", || run(&args))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut reader = floe_stream::Reader::new(floe_toolkit::input()?);
    let (tree, mut next) = read::metadata(&mut reader)?;
    let (steps, hole) = floe_plan::plan(&tree, &floe_rebuild::own_ranges()?)?;
    if args.plan {
        for step in &steps {
            println!("{step}");
        }
        return Ok(());
    }
    let mut no = Vec::new();
    let mut say = |pid, object: &str, problem: String| {
        no.push(Refusal { pid: Some(pid), object: object.into(), problem, hint: String::new() });
    };
    let own = floe_rebuild::own_vdso_hash()?;
    for (&pid, mm) in &tree.mm {
        if mm.vdso_hash != 0 && mm.vdso_hash != own {
            say(pid, "vdso", "is not that of this kernel".into());
        }
    }
    let tids = tree.threads.iter().map(|t| t.tid.0).chain(tree.processes.iter().map(|p| p.pid.0));
    for tid in tids.collect::<std::collections::BTreeSet<_>>() {
        if let Ok(comm) = std::fs::read_to_string(format!("/proc/{tid}/comm")) {
            say(floe_records::Pid(tid), "process id", format!("is taken by {}", comm.trim()));
        }
    }
    if !no.is_empty() {
        return Err(Refusals(no).into());
    }
    let wishes = Wishes { inherit: args.inherit.clone(), root: args.root.clone() };
    let mut open = Opened::new(&tree, &wishes)?;
    let mut work = Work::new(&tree, &open, hole);
    for step in &steps {
        if *step == Step::Fill {
            read::bulk(&mut reader, &mut next, &work, &open)?;
            open.seal()?;
        }
        work.step(step)?;
    }
    drop(work);
    open.keep()?;
    let root = tree.root().map_or(0, |p| p.pid.0);
    if let Some(path) = &args.pidfile {
        std::fs::write(path, format!("{root}\n"))?;
    }
    drop(reader);
    drop(open);
    if args.detach { Ok(()) } else { wait(root as i32) }
}

fn wait(root: i32) -> anyhow::Result<()> {
    use nix::sys::wait::{WaitStatus, waitpid};
    loop {
        match waitpid(nix::unistd::Pid::from_raw(root), None) {
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(WaitStatus::Exited(_, code)) => return Err(floe_toolkit::Exit(code as u8).into()),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Err(floe_toolkit::Exit(128 + signal as u8).into());
            }
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
