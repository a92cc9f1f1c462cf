//! Compressed bulk: a record with its content becomes a [`Compressed`] with a frame, and back. Each frame stands for itself, so
//! that they are worked on apart from each other, in any order.

use crate::{Error, Result};
use floe_records::{Bytes, Codec, Compressed, MAX_CONTENT, Resource};
use floe_stream::RawRecord;
use std::{cell::RefCell, fmt, str::FromStr};
use twox_hash::XxHash3_64;
use zstd::bulk::{Compressor, Decompressor};

/// The level of zstd where none is given: beside higher ones it is fast, and memory gets hardly smaller by them.
const LEVEL: i32 = 1;
/// A frame must be shorter than its content by this part of it; what is not, such as pictures, stays as it is.
const WORTH: usize = 16;

/// How bulk is to be compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// By zstd, with a level from 1 to 22.
    Zstd(i32),
    /// By LZ4.
    Lz4,
}

/// How the bulk of an image is to be coded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// As it comes.
    AsItIs,
    /// Without frames, or with frames of one sort.
    By(Option<Compression>),
}

impl FromStr for Coding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        Ok(Self::By(match (name, level) {
            ("none", None) => None,
            ("lz4", None) => Some(Compression::Lz4),
            ("zstd", None) => Some(Compression::Zstd(LEVEL)),
            ("zstd", Some(level)) => {
                let level = level.parse().ok().filter(|level| (1..=22).contains(level));
                Some(Compression::Zstd(level.ok_or("the level of zstd is 1 to 22")?))
            }
            ("none" | "lz4", Some(_)) => return Err(format!("{name} has no levels")),
            _ => return Err("zstd, zstd:LEVEL, lz4 or none is wanted".to_owned()),
        }))
    }
}

thread_local! {
    /// What the coders of a thread keep from one frame to the next.
    static ENCODER: RefCell<Encoder> = RefCell::default();
    static DECODER: RefCell<Decoder> = RefCell::default();
}

#[derive(Default)]
struct Encoder {
    frame: Vec<u8>,
    zstd: Option<(i32, Compressor<'static>)>,
}

#[derive(Default)]
struct Decoder {
    content: Vec<u8>,
    zstd: Option<Decompressor<'static>>,
}

impl Encoder {
    /// The length of the frame of this content.
    fn encode(&mut self, content: &[u8], how: Compression) -> Result<usize> {
        let level = match how {
            Compression::Lz4 => {
                self.frame.resize(lz4_flex::block::get_maximum_output_size(content.len()), 0);
                let done = lz4_flex::block::compress_into(content, &mut self.frame);
                return Ok(done.map_err(std::io::Error::other)?);
            }
            Compression::Zstd(level) => level,
        };
        self.frame.resize(zstd::zstd_safe::compress_bound(content.len()), 0);
        if self.zstd.as_ref().is_none_or(|(own, _)| *own != level) {
            self.zstd = Some((level, Compressor::new(level)?));
        }
        match &mut self.zstd {
            Some((_, zstd)) => Ok(zstd.compress_to_buffer(content, &mut self.frame[..])?),
            None => Ok(content.len()),
        }
    }
}

/// Hands on the record of a frame and the frame; `None` where that would not be shorter than the content.
///
/// # Errors
/// Those of the coder, and of `with`.
pub(crate) fn encoded<R>(
    record: &RawRecord,
    content: &[u8],
    how: Compression,
    with: impl FnOnce(Option<(RawRecord, &[u8])>) -> Result<R>,
) -> Result<R> {
    if !Compressed::is_for(record.kind) || content.len() as u64 > MAX_CONTENT {
        return with(None);
    }
    ENCODER.with_borrow_mut(|encoder| {
        let len = encoder.encode(content, how)?;
        let about = Compressed {
            codec: match how {
                Compression::Zstd(_) => Codec::Zstd,
                Compression::Lz4 => Codec::Lz4,
            },
            len: content.len() as u32,
            digest: XxHash3_64::oneshot(content),
            record: Bytes(record.bytes.clone()),
        };
        let outer = RawRecord::encode(&about)?;
        let more = outer.bytes.len() - record.bytes.len();
        let worth = len + more + content.len() / WORTH < content.len();
        with(worth.then(|| (outer, &encoder.frame[..len])))
    })
}

/// What a [`Compressed`] tells: what it is of, and how it comes out of its frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    codec: Codec,
    len: usize,
    digest: u64,
    at: u64,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.codec, self.len)
    }
}

impl Frame {
    /// The record whose content is in a frame, and that; `None`: a record is no [`Compressed`].
    ///
    /// # Errors
    /// Damage.
    pub fn of(raw: &RawRecord) -> Result<Option<(RawRecord, Self)>> {
        if !raw.is::<Compressed>() {
            return Ok(None);
        }
        let about: Compressed = raw.decode()?;
        about.check().map_err(|problem| Error::damaged(raw.at, &problem))?;
        let record = RawRecord::parse(&about.record.0, raw.at)?;
        if record.bytes.len() != about.record.0.len() || !Compressed::is_for(record.kind) {
            return Err(Error::damaged(raw.at, "a compressed record is no record of bulk"));
        }
        let (codec, len, digest) = (about.codec, about.len as usize, about.digest);
        Ok(Some((record, Self { codec, len, digest, at: raw.at })))
    }

    /// Bytes of the content.
    pub fn content_len(&self) -> u64 {
        self.len as u64
    }

    /// By what it is compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Fails where a frame of this length cannot be: it is shorter than its content.
    pub fn check_len(&self, len: u64) -> Result<()> {
        if len < self.len as u64 {
            return Ok(());
        }
        Err(Error::damaged(self.at, "a frame that is not shorter than its content"))
    }

    /// Hands on the content of a frame.
    ///
    /// # Errors
    /// Damage, and the errors of `with`.
    pub fn open<R, E: From<Error>>(
        &self,
        frame: &[u8],
        with: impl FnOnce(&[u8]) -> Result<R, E>,
    ) -> Result<R, E> {
        DECODER.with_borrow_mut(|decoder| {
            let content = decoder.decode(self, frame)?;
            with(content)
        })
    }
}

impl Decoder {
    fn decode(&mut self, about: &Frame, frame: &[u8]) -> Result<&[u8]> {
        let damaged = |problem: &str| Error::damaged(about.at, &format!("{problem} of a frame"));
        self.content.resize(about.len.max(self.content.len()), 0);
        let content = &mut self.content[..about.len];
        let len = match about.codec {
            Codec::Lz4 => lz4_flex::block::decompress_into(frame, content)
                .map_err(|e| damaged(&format!("lz4 ({e})")))?,
            Codec::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Decompressor::new()?),
                };
                let done = zstd.decompress_to_buffer(frame, content);
                done.map_err(|e| damaged(&format!("zstd ({e})")))?
            }
        };
        if len != about.len || XxHash3_64::oneshot(content) != about.digest {
            return Err(damaged("another content than that"));
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 3] =
        [Compression::Lz4, Compression::Zstd(LEVEL), Compression::Zstd(22)];

    fn record() -> RawRecord {
        RawRecord::from_parts(150, 1, &[0x82, 1, 2])
    }

    fn frame(content: &[u8], how: Compression) -> Option<(RawRecord, Vec<u8>)> {
        let both = |both: Option<(RawRecord, &[u8])>| Ok(both.map(|(r, f)| (r, f.to_vec())));
        encoded(&record(), content, how, both).unwrap()
    }

    /// Bytes that nothing makes shorter.
    fn noise(len: usize) -> Vec<u8> {
        (0..len.div_ceil(8) as u64)
            .flat_map(|n| XxHash3_64::oneshot(&n.to_le_bytes()).to_le_bytes())
            .take(len)
            .collect()
    }

    #[test]
    fn what_goes_in_comes_out() {
        for how in ALL {
            for len in [200, 4096, 70_000, MAX_CONTENT as usize] {
                let half = [noise(len / 2), vec![7; len - len / 2]].concat();
                for content in [vec![0; len], half] {
                    let (outer, stored) = frame(&content, how).expect("shorter");
                    let (inner, about) = Frame::of(&outer).unwrap().expect("compressed");
                    assert_eq!((inner.bytes, about.content_len()), (record().bytes, len as u64));
                    about.check_len(stored.len() as u64).unwrap();
                    let same = |got: &[u8]| Ok::<_, Error>(got == content);
                    assert!(about.open(&stored, same).unwrap());
                }
            }
        }
    }

    #[test]
    fn what_gets_no_shorter_stays_as_it_is() {
        for how in ALL {
            for content in [noise(1 << 16), vec![0; 60], Vec::new()] {
                assert!(frame(&content, how).is_none(), "{how:?}");
            }
            let content = vec![0; MAX_CONTENT as usize + 1];
            assert!(frame(&content, how).is_none(), "longer than a record may have");
        }
    }

    /// Whatever a frame says, no more than its record promises is written, and nothing else than that is handed on.
    #[test]
    fn every_changed_byte_of_a_frame_is_told() {
        for how in ALL {
            let content: Vec<u8> = noise(1000).repeat(3);
            let (outer, mut stored) = frame(&content, how).expect("shorter");
            let (_, about) = Frame::of(&outer).unwrap().expect("compressed");
            let told = |stored: &[u8]| {
                let same = |got: &[u8]| Ok::<_, Error>(got == content);
                about.open(stored, same).map(|same| assert!(same)).is_err()
            };
            for at in 0..stored.len() {
                for bit in [0, 7] {
                    stored[at] ^= 1 << bit;
                    // A bit without a meaning changes nothing.
                    told(&stored);
                    stored[at] ^= 1 << bit;
                }
                assert!(told(&stored[..at]), "cut at {at}");
            }
            assert!(told(&[]) && !told(&stored));
        }
    }

    #[test]
    fn records_that_cannot_be_are_damage() {
        let made = |record: &[u8], len| {
            let record = Bytes(record.to_vec());
            let about = Compressed { codec: Codec::Lz4, len, digest: 0, record };
            RawRecord::encode(&about).unwrap()
        };
        let inner = record().bytes;
        assert!(Frame::of(&made(&inner, 1)).unwrap().is_some());
        assert!(Frame::of(&made(&inner, 0)).is_err());
        assert!(Frame::of(&made(&inner, MAX_CONTENT as u32 + 1)).is_err());
        assert!(Frame::of(&made(&[inner.clone(), vec![0]].concat(), 1)).is_err());
        assert!(Frame::of(&made(&inner[..4], 1)).is_err());
        assert!(Frame::of(&made(&made(&inner, 1).bytes, 1)).is_err(), "compressed twice");
        let metadata = RawRecord::from_parts(30, 1, &[0x82, 1, 2]);
        assert!(Frame::of(&made(&metadata.bytes, 1)).is_err());
        assert_eq!(Frame::of(&metadata).unwrap(), None);
    }

    #[test]
    fn words_tell_how() {
        let by = |text: &str| text.parse::<Coding>();
        assert_eq!(by("none"), Ok(Coding::By(None)));
        assert_eq!(by("lz4"), Ok(Coding::By(Some(Compression::Lz4))));
        assert_eq!(by("zstd"), Ok(Coding::By(Some(Compression::Zstd(LEVEL)))));
        assert_eq!(by("zstd:19"), Ok(Coding::By(Some(Compression::Zstd(19)))));
        for wrong in ["", "gzip", "zstd:", "zstd:0", "zstd:23", "zstd:x", "lz4:1", "none:1", "Zstd"]
        {
            assert!(by(wrong).is_err(), "{wrong}");
        }
    }
}
