//! eventfd(2), by fs/eventfd.c's show_fdinfo.

use super::fdinfo::field;
use floe_records::FileKind;

pub(super) fn eventfd(info: &str) -> Option<FileKind> {
    let count = u64::from_str_radix(field(info, "eventfd-count:"), 16).ok()?;
    Some(FileKind::Eventfd(count, field(info, "eventfd-semaphore:") == "1"))
}
