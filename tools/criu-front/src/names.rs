//! The options of a request by their numbers: which we read, which mean nothing here, and which would change what is done, so
//! that a request with one of them is refused.

use prost::{
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is read.
    Read,
    /// It makes no difference here.
    Ignored,
    /// Why it cannot be done.
    Refused(&'static str),
}

use Fate::{Ignored, Read, Refused};

const SERVER: &str = "memory goes to no other machine: send the image when it is written";
const LAZY: &str = "memory comes back as a whole";

/// All options that there are.
const OPTIONS: [(u32, &str, Fate); 71] = [
    (1, "images_dir_fd", Read),
    (2, "pid", Read),
    (3, "leave_running", Read),
    (4, "ext_unix_sk", Read),
    (5, "tcp_established", Read),
    (6, "evasive_devices", Ignored),
    (7, "shell_job", Read),
    (8, "file_locks", Ignored),
    (9, "log_level", Ignored),
    (10, "log_file", Read),
    (11, "ps", Refused(SERVER)),
    (12, "notify_scripts", Read),
    (13, "root", Read),
    (14, "parent_img", Read),
    (15, "track_mem", Ignored),
    (16, "auto_dedup", Ignored),
    (17, "work_dir_fd", Read),
    (18, "link_remap", Ignored),
    (19, "veths", Ignored),
    (20, "cpu_cap", Ignored),
    (21, "force_irmap", Ignored),
    (22, "exec_cmd", Refused("no command is run behind a restore")),
    (23, "ext_mnt", Read),
    (24, "manage_cgroups", Read),
    (25, "cg_root", Read),
    (26, "rst_sibling", Read),
    (27, "inherit_fd", Read),
    (28, "auto_ext_mnt", Ignored),
    (29, "ext_sharing", Ignored),
    (30, "ext_masters", Ignored),
    (31, "skip_mnt", Ignored),
    (32, "enable_fs", Ignored),
    (33, "unix_sk_ino", Ignored),
    (34, "manage_cgroups_mode", Read),
    (35, "ghost_limit", Ignored),
    (36, "irmap_scan_paths", Ignored),
    (37, "external", Read),
    (38, "empty_ns", Read),
    (39, "join_ns", Read),
    (41, "cgroup_props", Ignored),
    (42, "cgroup_props_file", Ignored),
    (43, "cgroup_dump_controller", Ignored),
    (44, "freeze_cgroup", Read),
    (45, "timeout", Read),
    (46, "tcp_skip_in_flight", Ignored),
    (47, "weak_sysctls", Ignored),
    (48, "lazy_pages", Refused(LAZY)),
    (49, "status_fd", Ignored),
    (50, "orphan_pts_master", Read),
    (51, "config_file", Read),
    (52, "tcp_close", Read),
    (53, "lsm_profile", Read),
    (54, "tls_cacert", Ignored),
    (55, "tls_cacrl", Ignored),
    (56, "tls_cert", Ignored),
    (57, "tls_key", Ignored),
    (58, "tls", Ignored),
    (59, "tls_no_cn_verify", Ignored),
    (60, "cgroup_yard", Ignored),
    (61, "pre_dump_mode", Ignored),
    (62, "pidfd_store_sk", Ignored),
    (63, "lsm_mount_context", Refused("mounts have the label that they had")),
    (64, "network_lock", Ignored),
    (65, "mntns_compat_mode", Ignored),
    (66, "skip_file_rwx_check", Ignored),
    (67, "unprivileged", Ignored),
    (68, "images_dir", Read),
    (69, "leave_stopped", Refused("a tree is killed or runs on")),
    (70, "display_stats", Ignored),
    (71, "log_to_stderr", Ignored),
    (72, "allow_uprobes", Ignored),
];

/// What is said about the options of a request.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Names, or numbers where they have none here.
    pub ignored: Vec<String>,
    /// Sentences.
    pub refused: Vec<String>,
}

/// Looks through the options of a request as they came. One that is false, 0 or empty is as if it were not there.
pub fn judge(mut opts: &[u8]) -> Result<Judged, prost::DecodeError> {
    let mut judged = Judged::default();
    while opts.has_remaining() {
        let (number, wire) = decode_key(&mut opts)?;
        let mut value = opts;
        let is_set = match wire {
            WireType::Varint | WireType::LengthDelimited => decode_varint(&mut value)? != 0,
            _ => true,
        };
        skip_field(wire, number, &mut opts, DecodeContext::default())?;
        let known = OPTIONS.iter().find(|(own, ..)| *own == number);
        let name =
            known.map_or_else(|| format!("number {number}"), |(_, name, _)| name.to_string());
        match known.map_or(Ignored, |(.., fate)| *fate) {
            Read => {}
            _ if !is_set => {}
            Ignored if judged.ignored.contains(&name) => {}
            Ignored => judged.ignored.push(name),
            Refused(why) => judged.refused.push(format!("option {name}: {why}")),
        }
    }
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_read_ignored_or_refused() {
        // leave_running, log_level 4, lazy_pages false, and 90, which nobody knows, twice.
        let mut opts = vec![0x18, 1, 0x48, 4, 0x80, 3, 0, 0xd2, 5, 1, b'x', 0xd2, 5, 1, b'y'];
        let judged = judge(&opts).unwrap();
        assert_eq!(judged.ignored, ["log_level", "number 90"]);
        assert!(judged.refused.is_empty());
        opts.extend([0x80, 3, 1]);
        assert_eq!(judge(&opts).unwrap().refused, [format!("option lazy_pages: {LAZY}")]);
        assert!(judge(&[0x18]).is_err() && judge(&[0xd2, 5, 9, b'x']).is_err());
    }

    #[test]
    fn numbers_are_in_order() {
        assert!(OPTIONS.windows(2).all(|two| two[0].0 < two[1].0));
    }
}
