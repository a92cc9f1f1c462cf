//! What engines look for beside the image.

use crate::{directory::Directory, protocol::Pair};
use anyhow::{Context, Result};
use prost::Message;
use std::io::Read;

/// The image of floe, in the directory of images.
pub const IMAGE: &str = "floe.img";
/// Some engines take a directory for a checkpoint only with this file in it.
pub const INVENTORY: &str = "inventory.img";
/// The link to the images that these build on.
pub const PARENT: &str = "parent";
/// Times of a dump and of a restore.
pub const STATS: [&str; 2] = ["stats-dump", "stats-restore"];

/// The two words that each kind of file begins with.
const HEAD: u32 = 0x5456_4319;
const HEAD_OF_INVENTORY: u32 = 0x5831_3116;
const SERVICE: u32 = 0x5510_5940;
const HEAD_OF_STATS: u32 = 0x5709_3306;
/// Bytes before the message.
const HEAD_BYTES: usize = 12;
/// Version of the form of images.
const FORM: u32 = 2;

/// What inventory.img says.
#[derive(Clone, PartialEq, Message)]
struct Inventory {
    #[prost(uint32, required, tag = "1")]
    version: u32,
    /// Mounts from outside, their places and the names that a restore calls them by. Of floe alone.
    #[prost(message, repeated, tag = "1000")]
    mounts: Vec<Pair>,
    /// Other things from outside, as the engine has named them. Of floe alone.
    #[prost(string, repeated, tag = "1001")]
    external: Vec<String>,
}

/// What an engine has said at a dump of what comes from outside.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outside {
    /// Mounts: their places and the names that a restore calls them by.
    pub mounts: Vec<(String, String)>,
    /// Other things: `net[INODE]:NAME`.
    pub external: Vec<String>,
}

/// What a dump took.
#[derive(Clone, PartialEq, Message)]
pub struct DumpStats {
    /// Until the tree stood still, microseconds.
    #[prost(uint32, required, tag = "1")]
    pub freezing: u32,
    /// While it stood still, microseconds.
    #[prost(uint32, required, tag = "2")]
    pub frozen: u32,
    /// For the memory, microseconds.
    #[prost(uint32, required, tag = "3")]
    pub memory: u32,
    /// For the memory to be written, microseconds.
    #[prost(uint32, required, tag = "4")]
    pub writing: u32,
    #[prost(uint64, required, tag = "5")]
    pub pages_scanned: u64,
    #[prost(uint64, required, tag = "6")]
    pub pages_skipped: u64,
    #[prost(uint64, required, tag = "7")]
    pub pages_written: u64,
    #[prost(uint64, required, tag = "9")]
    pub pages_lazy: u64,
}

/// What a restore took.
#[derive(Clone, PartialEq, Message)]
pub struct RestoreStats {
    #[prost(uint64, required, tag = "1")]
    pub pages_compared: u64,
    #[prost(uint64, required, tag = "2")]
    pub pages_skipped: u64,
    /// Until the root of the tree was there, microseconds.
    #[prost(uint32, required, tag = "3")]
    pub forking: u32,
    /// Until all was built, microseconds.
    #[prost(uint32, required, tag = "4")]
    pub restoring: u32,
    #[prost(uint64, optional, tag = "5")]
    pub pages_restored: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Stats {
    #[prost(message, optional, tag = "1")]
    dump: Option<DumpStats>,
    #[prost(message, optional, tag = "2")]
    restore: Option<RestoreStats>,
}

/// Writes the inventory.
pub fn inventory(images: &Directory, outside: &Outside) -> Result<()> {
    let pair = |(key, value): &(String, String)| Pair { key: key.clone(), value: value.clone() };
    let mounts = outside.mounts.iter().map(pair).collect();
    let entry = Inventory { version: FORM, mounts, external: outside.external.clone() };
    images.write(INVENTORY, &framed([HEAD, HEAD_OF_INVENTORY], &entry))
}

/// What was said at the dump.
pub fn outside(images: &Directory) -> Result<Outside> {
    let mut bytes = Vec::new();
    images.read(INVENTORY)?.read_to_end(&mut bytes).context("unable to read the inventory")?;
    let body = bytes.get(HEAD_BYTES..).context("the inventory is cut off")?;
    let entry = Inventory::decode(body).context("unable to read the inventory")?;
    let mounts = entry.mounts.into_iter().map(|pair| (pair.key, pair.value)).collect();
    Ok(Outside { mounts, external: entry.external })
}

/// Writes what a dump took.
pub fn dumped(work: &Directory, stats: DumpStats) -> Result<()> {
    let entry = Stats { dump: Some(stats), restore: None };
    work.write(STATS[0], &framed([SERVICE, HEAD_OF_STATS], &entry))
}

/// Writes what a restore took.
pub fn restored(work: &Directory, stats: RestoreStats) -> Result<()> {
    let entry = Stats { dump: None, restore: Some(stats) };
    work.write(STATS[1], &framed([SERVICE, HEAD_OF_STATS], &entry))
}

fn framed(head: [u32; 2], entry: &impl Message) -> Vec<u8> {
    let body = entry.encode_to_vec();
    let words = [head[0], head[1], body.len() as u32];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_heads_and_all_that_is_required() {
        let bytes =
            framed([HEAD, HEAD_OF_INVENTORY], &Inventory { version: FORM, ..Inventory::default() });
        assert_eq!(bytes, b"\x19\x43\x56\x54\x16\x31\x31\x58\x02\0\0\0\x08\x02");
        let bytes = framed(
            [SERVICE, HEAD_OF_STATS],
            &Stats { dump: Some(DumpStats::default()), restore: None },
        );
        assert_eq!(&bytes[..8], b"\x40\x59\x10\x55\x06\x33\x09\x57");
        assert_eq!(&bytes[12..], b"\x0a\x10\x08\0\x10\0\x18\0\x20\0\x28\0\x30\0\x38\0\x48\0");
    }
}
