//! The session keyring, which only the process itself can look into; other threads than the main one are not asked.

use crate::{Result, resource::OfProcess, subject::Process};
use floe_parasite::{Arg, Batch, Call, Replies, Slot};
use floe_records::{Finding, Keyring, Pid, SessionKeyring};

/// Room for a description: type, ids, permissions and a name of up to 4095 bytes.
const DESCRIPTION: usize = 4352;
/// How the kernel calls the keyring that those without one of their own have.
const OF_USER: &[u8] = b"_uid_ses.";
/// The rule of all losses.
const RULE: &str = "process.keyring";

/// Where the answers will be found.
pub(crate) struct Asked {
    id: Call,
    described: Call,
    text: Slot,
    /// Bytes of the numbers of its keys.
    keys: Call,
    /// Those of the main thread and of the process.
    others: [(&'static str, Call); 2],
}

impl OfProcess for Keyring {
    type Asked = Asked;

    fn ask(_: &Process<'_>, batch: &mut Batch) -> Result<Asked> {
        let text = batch.zeroed(DESCRIPTION);
        let mut ask = |what: u32, keyring: i32, at: Arg, len: usize| {
            let args = [Arg::Val(what.into()), keyring.into(), at, len.into()];
            batch.try_call(libc::SYS_keyctl, args)
        };
        let none = || Arg::Val(0);
        let session = libc::KEY_SPEC_SESSION_KEYRING;
        let described = ask(libc::KEYCTL_DESCRIBE, session, text.into(), DESCRIPTION);
        let keys = ask(libc::KEYCTL_READ, session, none(), 0);
        let mut id = |keyring| ask(libc::KEYCTL_GET_KEYRING_ID, keyring, none(), 0);
        let others = [
            ("thread keyring", id(libc::KEY_SPEC_THREAD_KEYRING)),
            ("process keyring", id(libc::KEY_SPEC_PROCESS_KEYRING)),
        ];
        Ok(Asked { id: id(session), described, text, keys, others })
    }

    fn take(process: &Process<'_>, asked: Asked, replies: &Replies) -> Result<Vec<Self>> {
        Ok(vec![Keyring { pid: Pid(process.pid), session: own(&asked, replies) }])
    }

    fn lost(process: &Process<'_>, asked: &Asked, replies: &Replies) -> Vec<Finding> {
        let finding =
            |object: String, problem: String| Finding::of(Pid(process.pid), object, RULE, problem);
        let keys = replies.value(asked.keys).unwrap_or_default() / size_of::<u32>() as u64;
        let session = own(asked, replies).filter(|_| keys > 0).map(|keyring| {
            let object = format!("session keyring {}", keyring.name);
            finding(object, format!("it comes back without its keys ({keys})"))
        });
        let others = asked.others.iter().filter(|(_, call)| replies.value(*call).is_ok());
        let others =
            others.map(|(name, _)| finding((*name).into(), "it does not come back".into()));
        session.into_iter().chain(others).collect()
    }
}

/// The session keyring, where it is not that of freeze, as it is for all that one login has started.
fn own(asked: &Asked, replies: &Replies) -> Option<SessionKeyring> {
    replies.value(asked.described).ok()?;
    let id = replies.value(asked.id).ok()? as u32;
    let keyring = described_as(id, replies.bytes(asked.text))?;
    let of_all = keyring.name.0.starts_with(OF_USER) || floe_sys::session_keyring() == Some(id);
    (!of_all).then_some(keyring)
}

/// From a description: `keyring;UID;GID;PERMISSIONS;NAME`.
fn described_as(id: u32, text: &[u8]) -> Option<SessionKeyring> {
    let text = text.split(|byte| *byte == 0).next()?;
    let mut words = text.splitn(5, |byte| *byte == b';').skip(1);
    let mut number =
        |radix| u32::from_str_radix(std::str::from_utf8(words.next()?).ok()?, radix).ok();
    let (uid, gid, permissions) = (number(10)?, number(10)?, number(16)?);
    Some(SessionKeyring { id, name: words.next()?.into(), uid, gid, permissions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read() {
        let read = |text: &[u8]| described_as(7, text);
        let keyring = read(b"keyring;0;65534;3f1b0000;_ses.a;b\0\0").unwrap();
        assert_eq!((keyring.uid, keyring.gid, keyring.permissions), (0, 65534, 0x3f1b_0000));
        assert_eq!(keyring.name.0, b"_ses.a;b");
        assert_eq!(read(b"keyring;0;0"), None);
    }
}
