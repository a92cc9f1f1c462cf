//! Pseudo terminals whose masters are outside: where another one is to be made, that is done as for those of the tree.

use crate::resource::ForDescriptor;
use floe_records::OutsideTerminal;

/// It says how to make what the file is.
impl ForDescriptor for OutsideTerminal {}
