//! What is asked for, from whatever it comes: configuration files, the request of an engine, a command line.

use crate::{
    config,
    names::{Judged, judge},
    protocol::Opts,
};
use anyhow::{Context, Result, bail};
use prost::Message;
use std::path::Path;

/// What is done about cgroups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cgroups {
    /// The tree is left in those that we are in.
    #[default]
    Ignore,
    /// Those that are missing are made.
    Make,
}

/// All that can be asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Root of the tree.
    pub pid: Option<u32>,
    /// It runs on behind a dump.
    pub leave_running: bool,
    /// UNIX sockets that are connected to the outside may come back closed.
    pub ext_unix_sk: bool,
    /// Connections are kept.
    pub tcp_established: bool,
    /// Connections come back closed.
    pub tcp_close: bool,
    /// A terminal may be outside.
    pub shell_job: bool,
    /// The master of a new terminal is handed over.
    pub orphan_pts_master: bool,
    /// Name of the log.
    pub log_file: Option<String>,
    /// The engine wants to be told of steps.
    pub notify_scripts: bool,
    /// Root of the mounts.
    pub root: Option<String>,
    /// What the link `parent` leads to.
    pub parent: Option<String>,
    /// Mounts that come from outside: of a dump their places and names, of a restore names and sources.
    pub mounts: Vec<(String, String)>,
    /// Other things from outside.
    pub external: Vec<String>,
    /// Our descriptors in the place of something outside.
    pub inherit: Vec<(String, i32)>,
    /// Kinds and paths of namespaces to join.
    pub join: Vec<(String, String)>,
    /// Kinds of namespaces that come back empty (CLONE_NEW*).
    pub empty: u32,
    /// What is done about cgroups.
    pub cgroups: Cgroups,
    /// The place of the tree in hierarchies.
    pub cgroup_roots: Vec<(Option<String>, String)>,
    /// Seconds that a tree may take to stand still.
    pub timeout: Option<u32>,
    /// The root of the restored tree becomes a child of our parent.
    pub sibling: bool,
    /// What to do with files that have changed (`restore --on-change`).
    pub on_change: Vec<String>,
    /// Programs to run at each step.
    pub scripts: Vec<String>,
    /// Directories by name, where no engine has opened them.
    pub images_dir: Option<String>,
    /// The same, for the log.
    pub work_dir: Option<String>,
    /// Behind a restore we are gone.
    pub detached: bool,
    /// Where the pid of the restored root is written.
    pub pidfile: Option<String>,
    /// What was said that makes no difference.
    pub ignored: Vec<String>,
    /// What was said that cannot be done.
    pub refused: Vec<String>,
}

/// Options that make no difference, by the names that they have on command lines and in configuration files.
const IGNORED: [&str; 34] = [
    "verbosity",
    "v",
    "file-locks",
    "link-remap",
    "ghost-limit",
    "skip-in-flight",
    "tcp-skip-in-flight",
    "enable-external-masters",
    "enable-external-sharing",
    "enable-fs",
    "evasive-devices",
    "skip-mnt",
    "track-mem",
    "auto-dedup",
    "network-lock",
    "force-irmap",
    "irmap-scan-path",
    "cpu-cap",
    "cgroup-props",
    "cgroup-props-file",
    "cgroup-dump-controller",
    "cgroup-yard",
    "weak-sysctls",
    "log-pid",
    "display-stats",
    "no-default-config",
    "mntns-compat-mode",
    "file-validation",
    "skip-file-rwx-check",
    "unprivileged",
    "pre-dump-mode",
    "veth-pair",
    "allow-uprobes",
    "log-to-stderr",
];

impl Wanted {
    /// What an engine asks for, with what the configuration files say.
    pub fn of_request(raw: &[u8]) -> Result<Self> {
        let unreadable = "unable to read the options of a request";
        let opts = Opts::decode(raw).context(unreadable)?;
        let Judged { ignored, refused } = judge(raw).context(unreadable)?;
        let mut wanted = Self::configured()?;
        wanted.ignored.extend(ignored);
        wanted.refused.extend(refused);
        let file = opts.config_file.clone();
        wanted.take(opts)?;
        if let Some(file) = file {
            wanted.lines(Path::new(&file))?;
        }
        Ok(wanted)
    }

    /// What the configuration files say that are read before anything else.
    pub fn configured() -> Result<Self> {
        let mut wanted = Self { orphan_pts_master: false, sibling: true, ..Self::default() };
        config::before().iter().try_for_each(|path| wanted.lines(path))?;
        Ok(wanted)
    }

    fn lines(&mut self, path: &Path) -> Result<()> {
        for (name, value) in config::read(path) {
            self.set(&name, value.as_deref())
                .with_context(|| format!("{}: option {name}", path.display()))?;
        }
        Ok(())
    }

    fn take(&mut self, opts: Opts) -> Result<()> {
        let set = |to: &mut bool, from: Option<bool>| *to = from.unwrap_or(*to);
        set(&mut self.leave_running, opts.leave_running);
        set(&mut self.ext_unix_sk, opts.ext_unix_sk);
        set(&mut self.tcp_established, opts.tcp_established);
        set(&mut self.tcp_close, opts.tcp_close);
        set(&mut self.shell_job, opts.shell_job);
        set(&mut self.orphan_pts_master, opts.orphan_pts_master);
        set(&mut self.notify_scripts, opts.notify_scripts);
        set(&mut self.sibling, opts.rst_sibling);
        if let Some(pid) = opts.pid {
            self.pid = Some(u32::try_from(pid).context("the pid is negative")?);
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        self.log_file = given(opts.log_file).or(self.log_file.take());
        self.root = given(opts.root).or(self.root.take());
        self.parent = given(opts.parent_img).or(self.parent.take());
        self.images_dir = given(opts.images_dir).or(self.images_dir.take());
        self.mounts.extend(opts.ext_mnt.into_iter().map(|pair| (pair.key, pair.value)));
        opts.external.into_iter().for_each(|it| self.outside(it));
        self.inherit.extend(opts.inherit_fd.into_iter().map(|it| (it.key, it.fd)));
        self.join.extend(opts.join_ns.into_iter().map(|it| (it.ns, it.file)));
        self.empty |= opts.empty_ns.unwrap_or(0);
        let roots = opts.cg_root.into_iter().map(|it| (given(it.controller), it.path));
        self.cgroup_roots.extend(roots);
        self.timeout = opts.timeout.or(self.timeout);
        if let Some(label) = given(opts.lsm_profile) {
            self.label(&label)?;
        }
        match (opts.manage_cgroups_mode, opts.manage_cgroups) {
            (Some(mode), _) => self.cgroups = of_mode(mode),
            (None, Some(true)) => self.cgroups = Cgroups::Make,
            _ => {}
        }
        Ok(())
    }

    /// The label of a security module that the tree is to have.
    fn label(&mut self, wanted: &str) -> Result<()> {
        if crate::label::is_ours(wanted)? {
            self.ignored.push(format!("lsm-profile {wanted}"));
        } else {
            let why = "the tree comes back with the label of restore";
            self.refused.push(format!("option lsm-profile {wanted}: {why}"));
        }
        Ok(())
    }

    /// Something from outside: `mnt[KEY]:VALUE` is a mount.
    fn outside(&mut self, it: String) {
        let mount = it.strip_prefix("mnt[").and_then(|rest| rest.split_once("]:"));
        if let Some((key, value)) = mount {
            self.mounts.push((key.to_owned(), value.to_owned()));
            return;
        }
        if !["net[", "pid[", "ipc[", "uts[", "user[", "cgroup["]
            .iter()
            .any(|kind| it.starts_with(kind))
        {
            self.ignored.push(format!("external {it}"));
        }
        self.external.push(it);
    }

    /// An option of a configuration file or a command line.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let needed = || value.map(str::to_owned).context("it needs a value");
        match name {
            "leave-running" => self.leave_running = true,
            "ext-unix-sk" => self.ext_unix_sk = true,
            "tcp-established" => self.tcp_established = true,
            "tcp-close" => self.tcp_close = true,
            "shell-job" => self.shell_job = true,
            "log-file" => self.log_file = Some(needed()?),
            "root" => self.root = Some(needed()?),
            "tree" => self.pid = Some(needed()?.parse().context("it is no pid")?),
            "images-dir" => self.images_dir = Some(needed()?),
            "work-dir" => self.work_dir = Some(needed()?),
            "prev-images-dir" => self.parent = Some(needed()?),
            "pidfile" => self.pidfile = Some(needed()?),
            "timeout" => self.timeout = Some(needed()?.parse().context("it is no number")?),
            "action-script" => self.scripts.push(needed()?),
            "on-change" => self.on_change.push(needed()?),
            "restore-detached" => self.detached = true,
            "restore-sibling" => self.sibling = true,
            "external" => self.outside(needed()?),
            "join-ns" => {
                let value = needed()?;
                let (ns, file) = value.split_once(':').context("it is not KIND:PATH")?;
                self.join.push((ns.to_owned(), file.to_owned()));
            }
            "empty-ns" => match value {
                Some("net") => self.empty |= libc::CLONE_NEWNET as u32,
                _ => bail!("only net can come back empty"),
            },
            "ext-mount-map" if value == Some("auto") => self.ignored.push(name.to_owned()),
            "ext-mount-map" => {
                let value = needed()?;
                let (key, value) = value.split_once(':').context("it is not KEY:VALUE")?;
                self.mounts.push((key.to_owned(), value.to_owned()));
            }
            "inherit-fd" => self.inherit.push(inherited(&needed()?)?),
            "manage-cgroups" => {
                self.cgroups =
                    if value == Some("ignore") { Cgroups::Ignore } else { Cgroups::Make };
            }
            "cgroup-root" => {
                let value = needed()?;
                let (controller, path) = match value.split_once(':') {
                    Some((controller, path)) => (Some(controller.to_owned()), path),
                    None => (None, value.as_str()),
                };
                self.cgroup_roots.push((controller, path.to_owned()));
            }
            // A tree that was frozen comes back frozen.
            "freeze-cgroup" => self.ignored.push(name.to_owned()),
            "lsm-profile" => self.label(&needed()?)?,
            "leave-stopped" | "lazy-pages" | "page-server" | "exec-cmd" | "lsm-mount-context"
            | "stream" => {
                self.refused.push(format!("option {name}: it cannot be done"));
            }
            name if IGNORED.contains(&name) => self.ignored.push(name.to_owned()),
            name => self.ignored.push(format!("{name} (unknown)")),
        }
        Ok(())
    }
}

/// `fd[N]:KEY`.
fn inherited(text: &str) -> Result<(String, i32)> {
    let rest = text.strip_prefix("fd[").and_then(|rest| rest.split_once("]:"));
    let (number, key) = rest.context("it is not fd[N]:KEY")?;
    Ok((key.to_owned(), number.parse().context("it is no number")?))
}

/// What a mode stands for: 0 and 1 are none, all others make what is missing.
fn of_mode(mode: i32) -> Cgroups {
    if mode <= 1 { Cgroups::Ignore } else { Cgroups::Make }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{InheritFd, Pair};

    #[test]
    fn what_engines_send_is_read() {
        let pair = |key: &str, value: &str| Pair { key: key.into(), value: value.into() };
        let opts = Opts {
            images_dir_fd: Some(7),
            pid: Some(4711),
            leave_running: Some(true),
            notify_scripts: Some(true),
            ext_mnt: vec![pair("/etc/hosts", "/etc/hosts")],
            inherit_fd: vec![InheritFd { key: "pipe:[5]".into(), fd: 1 }],
            empty_ns: Some(libc::CLONE_NEWNET as u32),
            manage_cgroups: Some(true),
            tcp_established: Some(false),
            ..Opts::default()
        };
        let wanted = Wanted::of_request(&opts.encode_to_vec()).unwrap();
        assert_eq!((wanted.pid, wanted.leave_running, wanted.sibling), (Some(4711), true, true));
        assert_eq!(wanted.mounts, [("/etc/hosts".to_owned(), "/etc/hosts".to_owned())]);
        assert_eq!(wanted.inherit, [("pipe:[5]".to_owned(), 1)]);
        assert_eq!(wanted.cgroups, Cgroups::Make);
        assert!(
            Wanted::of_request(&Opts { pid: Some(-3), ..Opts::default() }.encode_to_vec()).is_err()
        );
    }

    /// What runc 1.1.5 has sent for a container of `runc spec`.
    #[test]
    fn recorded_requests_are_read() {
        use crate::protocol::{Request, kind};
        let dump = &include_bytes!("../recorded/runc-1.1.5-dump.bin")[..];
        let dump = Request::decode(dump).unwrap();
        assert_eq!(dump.kind, kind::DUMP);
        let wanted = Wanted::of_request(&dump.opts.unwrap()).unwrap();
        assert!(wanted.notify_scripts && wanted.orphan_pts_master && !wanted.leave_running);
        assert!(wanted.refused.is_empty(), "{:?}", wanted.refused);
        assert_eq!(wanted.log_file.as_deref(), Some("dump.log"));
        assert_eq!(wanted.root.as_deref(), Some("/tmp/box/rootfs"));
        let names = |point: &str| wanted.mounts.iter().filter(|(own, _)| own == point).count();
        assert_eq!((names("/proc/keys"), names("/dev/null"), names("/etc/hosts")), (1, 1, 0));
        let restore = &include_bytes!("../recorded/runc-1.1.5-restore.bin")[..];
        let restore = Request::decode(restore).unwrap();
        assert_eq!(restore.kind, kind::RESTORE);
        let wanted = Wanted::of_request(&restore.opts.unwrap()).unwrap();
        assert!(wanted.sibling && wanted.cgroups == Cgroups::Make && wanted.refused.is_empty());
        let keys: Vec<(bool, i32)> =
            wanted.inherit.iter().map(|(key, fd)| (key.starts_with("pipe:["), *fd)).collect();
        assert_eq!(keys, [(true, 0), (true, 1), (true, 2)]);
        assert!(wanted.cgroup_roots.contains(&(Some("cpu".into()), "/box".into())));
        assert_eq!(wanted.empty, libc::CLONE_NEWNET as u32);
    }

    #[test]
    fn a_configuration_file_of_the_request_has_the_last_word() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "tcp-close\nlog-file other.log\nmade-up 5\nlazy-pages\n").unwrap();
        let opts = Opts {
            config_file: Some(file.path().to_str().unwrap().into()),
            log_file: Some("dump.log".into()),
            ..Opts::default()
        };
        let wanted = Wanted::of_request(&opts.encode_to_vec()).unwrap();
        assert_eq!((wanted.tcp_close, wanted.log_file.as_deref()), (true, Some("other.log")));
        assert!(wanted.ignored.contains(&"made-up (unknown)".to_owned()));
        assert_eq!(wanted.refused, ["option lazy-pages: it cannot be done"]);
        let missing = Opts { config_file: Some("/nowhere/at.all".into()), ..Opts::default() };
        assert!(Wanted::of_request(&missing.encode_to_vec()).is_ok());
    }
}
