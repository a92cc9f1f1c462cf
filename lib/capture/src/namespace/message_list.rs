//! System V message queues.

use crate::{
    Result,
    own_spaces::{self, OwnSpace},
    resource::OfNamespace,
};
use floe_proc::{IpcEntry, message_lists};
use floe_records::{Finding, Findings, MessageList, NsKind, Pid, Tree};
use floe_sys::{message_list_room, messages};

impl OfNamespace for MessageList {
    fn look(space: &OwnSpace, out: &mut Findings) -> Result<()> {
        if space.kind != NsKind::Ipc {
            return Ok(());
        }
        let large =
            |list: &IpcEntry| list.bytes > MessageList::BYTES || list.count > MessageList::MESSAGES;
        for list in message_lists()?.into_iter().filter(large) {
            let object = format!("message queue {}", list.id);
            let problem = "more is queued in it than a checkpoint takes";
            out.refuse(Finding::of(Pid(space.pid), object, "namespace.ipc", problem));
        }
        Ok(())
    }

    fn collect(tree: &Tree) -> Result<Vec<Self>> {
        own_spaces::each(tree, NsKind::Ipc, |space| {
            let mut all = Vec::new();
            for list in message_lists()? {
                let queued = messages(list.id, list.bytes as usize)?;
                all.push(MessageList {
                    space,
                    id: list.id,
                    key: list.key,
                    mode: list.mode & 0o777,
                    owner: list.owner,
                    creator: list.creator,
                    max_bytes: message_list_room(list.id)?,
                    messages: queued.into_iter().map(|(kind, text)| (kind, text.into())).collect(),
                });
            }
            Ok(all)
        })
    }
}
