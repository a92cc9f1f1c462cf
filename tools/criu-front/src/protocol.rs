//! The messages between an engine and us (protocol buffers, version 2 of the language): their fields by number.

use prost::Message;

/// What is asked for, and what an answer answers.
pub mod kind {
    #![allow(missing_docs, reason = "the names say it")]
    pub const EMPTY: i32 = 0;
    pub const DUMP: i32 = 1;
    pub const RESTORE: i32 = 2;
    pub const CHECK: i32 = 3;
    pub const PRE_DUMP: i32 = 4;
    pub const PAGE_SERVER: i32 = 5;
    pub const NOTIFY: i32 = 6;
    pub const CPUINFO_DUMP: i32 = 7;
    pub const CPUINFO_CHECK: i32 = 8;
    pub const FEATURE_CHECK: i32 = 9;
    pub const VERSION: i32 = 10;
    pub const WAIT_PID: i32 = 11;
    pub const PAGE_SERVER_CHLD: i32 = 12;
    pub const SINGLE_PRE_DUMP: i32 = 13;
}

/// A request, or the answer to a notification.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// One of [`kind`].
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    /// An [`Opts`], as it came: what we do not know in it is named in the log.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub opts: Option<Vec<u8>>,
    /// Whether the engine has done its part of a notification.
    #[prost(bool, optional, tag = "3")]
    pub notify_success: Option<bool>,
    /// Another request follows.
    #[prost(bool, optional, tag = "4")]
    pub keep_open: Option<bool>,
    /// Features that are asked for.
    #[prost(message, optional, tag = "5")]
    pub features: Option<Features>,
}

/// An answer, or a notification.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// One of [`kind`].
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    /// Whether it was done.
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    /// Of a dump.
    #[prost(message, optional, tag = "3")]
    pub dump: Option<Dumped>,
    /// Of a restore.
    #[prost(message, optional, tag = "4")]
    pub restore: Option<Restored>,
    /// Of a notification.
    #[prost(message, optional, tag = "5")]
    pub notify: Option<Notify>,
    /// An errno.
    #[prost(int32, optional, tag = "7")]
    pub errno: Option<i32>,
    /// The answer to a question for features.
    #[prost(message, optional, tag = "8")]
    pub features: Option<Features>,
    /// Why it was not done, for people.
    #[prost(string, optional, tag = "9")]
    pub message: Option<String>,
    /// The answer to a question for the version.
    #[prost(message, optional, tag = "10")]
    pub version: Option<Version>,
}

/// Of a dump.
#[derive(Clone, PartialEq, Message)]
pub struct Dumped {
    /// Whether the answer comes from the restored tree, which asked for its own dump.
    #[prost(bool, optional, tag = "1")]
    pub restored: Option<bool>,
}

/// Of a restore.
#[derive(Clone, PartialEq, Message)]
pub struct Restored {
    /// The root of the tree, as the engine sees it.
    #[prost(int32, required, tag = "1")]
    pub pid: i32,
}

/// A step of the work at which the engine may do something.
#[derive(Clone, PartialEq, Message)]
pub struct Notify {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub script: Option<String>,
    /// The root of the tree, as the engine sees it.
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
}

/// Features of a kernel and of us.
#[derive(Clone, PartialEq, Message)]
pub struct Features {
    /// Dumps that build on an earlier one.
    #[prost(bool, optional, tag = "1")]
    pub mem_track: Option<bool>,
    /// Restore with memory that comes later.
    #[prost(bool, optional, tag = "2")]
    pub lazy_pages: Option<bool>,
    /// Handles of processes that the engine keeps between dumps.
    #[prost(bool, optional, tag = "3")]
    pub pidfd_store: Option<bool>,
}

/// A version.
#[derive(Clone, PartialEq, Message)]
pub struct Version {
    #[prost(int32, required, tag = "1")]
    pub major: i32,
    #[prost(int32, required, tag = "2")]
    pub minor: i32,
    #[prost(int32, optional, tag = "4")]
    pub sublevel: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub name: Option<String>,
}

/// Two words: what something is called, and what stands for it.
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

/// A descriptor that takes the place of something outside.
#[derive(Clone, PartialEq, Message)]
pub struct InheritFd {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(int32, required, tag = "2")]
    pub fd: i32,
}

/// A namespace that the tree is to join.
#[derive(Clone, PartialEq, Message)]
pub struct JoinNs {
    #[prost(string, required, tag = "1")]
    pub ns: String,
    #[prost(string, required, tag = "2")]
    pub file: String,
    #[prost(string, optional, tag = "3")]
    pub extra: Option<String>,
}

/// The cgroup of the tree in one hierarchy.
#[derive(Clone, PartialEq, Message)]
pub struct CgroupRoot {
    #[prost(string, optional, tag = "1")]
    pub controller: Option<String>,
    #[prost(string, required, tag = "2")]
    pub path: String,
}

/// Options of a request, those that mean something here.
#[derive(Clone, PartialEq, Message)]
pub struct Opts {
    #[prost(int32, optional, tag = "1")]
    pub images_dir_fd: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    #[prost(bool, optional, tag = "3")]
    pub leave_running: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    pub ext_unix_sk: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    pub tcp_established: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    pub shell_job: Option<bool>,
    #[prost(string, optional, tag = "10")]
    pub log_file: Option<String>,
    #[prost(bool, optional, tag = "12")]
    pub notify_scripts: Option<bool>,
    #[prost(string, optional, tag = "13")]
    pub root: Option<String>,
    #[prost(string, optional, tag = "14")]
    pub parent_img: Option<String>,
    #[prost(int32, optional, tag = "17")]
    pub work_dir_fd: Option<i32>,
    #[prost(message, repeated, tag = "23")]
    pub ext_mnt: Vec<Pair>,
    #[prost(bool, optional, tag = "24")]
    pub manage_cgroups: Option<bool>,
    #[prost(message, repeated, tag = "25")]
    pub cg_root: Vec<CgroupRoot>,
    #[prost(bool, optional, tag = "26")]
    pub rst_sibling: Option<bool>,
    #[prost(message, repeated, tag = "27")]
    pub inherit_fd: Vec<InheritFd>,
    #[prost(int32, optional, tag = "34")]
    pub manage_cgroups_mode: Option<i32>,
    #[prost(string, repeated, tag = "37")]
    pub external: Vec<String>,
    #[prost(uint32, optional, tag = "38")]
    pub empty_ns: Option<u32>,
    #[prost(message, repeated, tag = "39")]
    pub join_ns: Vec<JoinNs>,
    #[prost(string, optional, tag = "44")]
    pub freeze_cgroup: Option<String>,
    #[prost(uint32, optional, tag = "45")]
    pub timeout: Option<u32>,
    #[prost(bool, optional, tag = "50")]
    pub orphan_pts_master: Option<bool>,
    #[prost(string, optional, tag = "51")]
    pub config_file: Option<String>,
    #[prost(bool, optional, tag = "52")]
    pub tcp_close: Option<bool>,
    #[prost(string, optional, tag = "53")]
    pub lsm_profile: Option<String>,
    #[prost(string, optional, tag = "68")]
    pub images_dir: Option<String>,
}
