//! System V message queues in IPC namespaces that restore has made.

use crate::{resource::ForNamespace, spaces::Spaces};
use floe_records::MessageList;
use floe_sys::{NewIpc, Result, make_message_list};

impl ForNamespace for MessageList {
    fn stand(&self, spaces: &mut Spaces<'_>) -> Result<()> {
        let Self { id, key, mode, owner, creator, .. } = *self;
        let new = NewIpc { key, id, mode, owner, creator };
        spaces.furnish(self.space, || {
            let messages = self.messages.iter().map(|(kind, text)| (*kind, text.0.as_slice()));
            make_message_list(&new, self.max_bytes, messages)
        })
    }
}
