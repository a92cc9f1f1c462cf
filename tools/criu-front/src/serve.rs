//! `criu swrk FD`: requests of an engine, one after the other.

use crate::{
    VERSION,
    channel::Channel,
    dump, features,
    job::{Job, Numbers},
    log::short,
    protocol::{Dumped, Opts, Request, Response, Version, kind},
    request::Wanted,
    restore,
};
use anyhow::{Context, Result};
use floe_toolkit::Exit;
use prost::Message;
use std::rc::Rc;

/// Does what the engine behind this descriptor asks for, until there is no more.
pub fn serve(fd: i32) -> Result<()> {
    let channel = Rc::new(Channel::inherited(fd)?);
    while let Some(request) = channel.receive()? {
        let more = match request.kind {
            kind::DUMP => {
                with_job(&request, &channel, "dump.log", dump::dump)?;
                let dump = Some(Dumped { restored: Some(false) });
                channel.send(&Response { dump, ..success(kind::DUMP) }, None)?;
                false
            }
            kind::RESTORE => {
                let pid = with_job(&request, &channel, "restore.log", restore::restore)?;
                let restore = Some(pid);
                channel.send(&Response { restore, ..success(kind::RESTORE) }, None)?;
                false
            }
            kind::PRE_DUMP | kind::SINGLE_PRE_DUMP => {
                with_job(&request, &channel, "pre-dump.log", dump::pre_dump)?;
                channel.send(&success(request.kind), None)?;
                request.kind == kind::PRE_DUMP
            }
            _ => {
                channel.send(&simple(&request), None)?;
                request.keep_open == Some(true)
            }
        };
        if !more {
            break;
        }
    }
    Ok(())
}

/// Does the work of a request. Where it fails, the log and the engine have been told why.
fn with_job<T>(
    request: &Request,
    channel: &Rc<Channel>,
    log: &str,
    work: impl FnOnce(&Job) -> Result<T>,
) -> Result<T> {
    let opened = open(request, channel, log);
    let done = opened.and_then(|job| {
        let done = job.allow().and_then(|()| work(&job));
        done.inspect_err(|error| {
            if !job.log.has_failed() {
                job.log.error(&format!("{error:#}"));
            }
        })
    });
    done.map_err(|error| {
        // It may be the engine that is gone.
        let _ = channel.send(&failure(request.kind, &format!("{error:#}")), None);
        Exit(1).into()
    })
}

fn open(request: &Request, channel: &Rc<Channel>, log: &str) -> Result<Job> {
    let raw = request.opts.as_deref().unwrap_or_default();
    let opts = Opts::decode(raw).context("unable to read the options of a request")?;
    let numbers = Numbers { images: opts.images_dir_fd, work: opts.work_dir_fd };
    let wanted = Wanted { detached: true, ..Wanted::of_request(raw)? };
    Job::new(wanted, Some(channel.clone()), &numbers, log)
}

fn success(kind: i32) -> Response {
    Response { kind, success: true, ..Response::default() }
}

/// An answer that says why not.
fn failure(kind: i32, why: &str) -> Response {
    Response { kind, success: false, message: Some(short(why)), ..Response::default() }
}

/// What needs no tree.
fn simple(request: &Request) -> Response {
    let done = success(request.kind);
    match request.kind {
        kind::VERSION => {
            let (major, minor) = VERSION;
            let name = Some("floe".to_owned());
            let version = Some(Version { major, minor, sublevel: None, name });
            Response { version, ..done }
        }
        kind::FEATURE_CHECK => Response { features: Some(features::features()), ..done },
        kind::CHECK => match features::works() {
            Ok(()) => done,
            Err(error) => failure(request.kind, &format!("{error:#}")),
        },
        kind::CPUINFO_DUMP
        | kind::CPUINFO_CHECK
        | kind::WAIT_PID
        | kind::PAGE_SERVER
        | kind::PAGE_SERVER_CHLD => failure(request.kind, "floe does not do this"),
        _ => failure(kind::EMPTY, "floe does not know this request"),
    }
}
