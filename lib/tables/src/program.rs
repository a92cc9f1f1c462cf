//! The program that the kernel runs for each descriptor: it writes what the kernel has of it as a record of fixed length.

use crate::types::Types;

/// Bytes of a record, and of what stands at its end of the object behind a description.
pub(crate) const RECORD: usize = 128;
pub(crate) const OBJECT_LEN: usize = 64;
/// Where the fields of a record are.
pub(crate) const FILE: usize = 0;
pub(crate) const OPERATIONS: usize = 8;
pub(crate) const POS: usize = 16;
pub(crate) const INO: usize = 24;
pub(crate) const FD: usize = 32;
pub(crate) const FLAGS: usize = 36;
pub(crate) const MOUNT: usize = 40;
pub(crate) const MARKS: usize = 44;
pub(crate) const NAME: usize = 48;
pub(crate) const OBJECT: usize = 64;

/// Marks: the file may have locks; its kind shows more than all have; the descriptor is closed by execve(2); something of it, or of
/// the object behind it, could not be read.
pub(crate) const LOCKS: u32 = 1;
pub(crate) const MORE: u32 = 2;
pub(crate) const CLOEXEC: u32 = 4;
pub(crate) const UNREAD: u32 = 8;
pub(crate) const NO_OBJECT: u32 = 16;
pub(crate) const UNOWNED: u32 = 32;
pub(crate) const UNLINKED: u32 = 64;

/// The function whose parameters the program gets: `struct bpf_iter__task_file`.
pub(crate) const TARGET: &str = "bpf_iter_task_file";
/// The structures that it reads.
pub(crate) const STRUCTURES: [&str; 10] = [
    "file",
    "path",
    "inode",
    "mount",
    "dentry",
    "hlist_bl_node",
    "file_operations",
    "task_struct",
    "files_struct",
    "fdtable",
];

/// Registers: the result, arguments, those that calls leave alone, the stack.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const CONTEXT: u8 = 6;
const THE_FILE: u8 = 7;
const THE_MARKS: u8 = 8;
const THE_FD: u8 = 9;
const STACK: u8 = 10;

/// `bpf_probe_read_kernel` and `bpf_seq_write` of include/uapi/linux/bpf.h.
const READ: i32 = 113;
const WRITE: i32 = 127;

/// Instructions: operation, registers, offset, number (Documentation/bpf/standardization/instruction-set.rst).
#[derive(Default)]
struct Code(Vec<u64>);

impl Code {
    fn add(&mut self, operation: u8, (to, from): (u8, u8), offset: i16, number: i32) {
        let registers = from << 4 | to;
        let low = [operation, registers, offset as u8, (offset >> 8) as u8];
        self.0.push(u64::from(u32::from_le_bytes(low)) | u64::from(number as u32) << 32);
    }

    /// `to = *(u64 *)(from + offset)`
    fn load(&mut self, to: u8, from: u8, offset: i16) {
        self.add(0x79, (to, from), offset, 0);
    }

    /// `to = *(u32 *)(from + offset)`
    fn load_word(&mut self, to: u8, from: u8, offset: i16) {
        self.add(0x61, (to, from), offset, 0);
    }

    /// `record.at = from`
    fn put(&mut self, at: usize, from: u8) {
        self.add(0x7b, (STACK, from), on_stack(at), 0);
    }

    fn put_word(&mut self, at: usize, from: u8) {
        self.add(0x63, (STACK, from), on_stack(at), 0);
    }

    fn copy(&mut self, to: u8, from: u8) {
        self.add(0xbf, (to, from), 0, 0);
    }

    fn set(&mut self, to: u8, number: i32) {
        self.add(0xb7, (to, 0), 0, number);
    }

    fn plus(&mut self, to: u8, number: i32) {
        self.add(0x07, (to, 0), 0, number);
    }

    fn mark(&mut self, mark: u32) {
        self.add(0x47, (THE_MARKS, 0), 0, mark as i32);
    }

    /// Has the next instructions skipped where the register is zero.
    fn unless_zero(&mut self, of: u8, then: impl FnOnce(&mut Self)) {
        self.skipping(0x15, (of, 0), then);
    }

    fn if_zero(&mut self, of: u8, then: impl FnOnce(&mut Self)) {
        self.skipping(0x55, (of, 0), then);
    }

    fn unless_equal(&mut self, a: u8, b: u8, then: impl FnOnce(&mut Self)) {
        self.skipping(0x1d, (a, b), then);
    }

    fn skipping(&mut self, jump: u8, of: (u8, u8), then: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        then(&mut inner);
        self.add(jump, of, inner.0.len() as i16, 0);
        self.0.append(&mut inner.0);
    }

    /// Reads from the address in the third register into the record; sets the mark where that fails.
    fn read(&mut self, at: usize, len: usize, failed: u32) {
        self.copy(R1, STACK);
        self.plus(R1, on_stack(at).into());
        self.set(R2, len as i32);
        self.call(READ);
        self.unless_zero(R0, |code| code.mark(failed));
    }

    fn call(&mut self, function: i32) {
        self.add(0x85, (0, 0), 0, function);
    }
}

/// The record stands at the end of the stack, which grows down.
fn on_stack(at: usize) -> i16 {
    at as i16 - RECORD as i16
}

/// The program, for the types of this kernel; `None` where they are not what it knows.
pub(crate) fn program(types: &Types<'_>) -> Option<Vec<u64>> {
    let [operations, pos, inode, flags, object] =
        types.members("file", ["f_op", "f_pos", "f_inode", "f_flags", "private_data"])?;
    let [ino, locks] = types.members("inode", ["i_ino", "i_flctx"])?;
    let [more] = types.members("file_operations", ["show_fdinfo"])?;
    let mut code = Code::default();
    code.copy(CONTEXT, R1);
    // `struct bpf_iter__task_file`: meta, task, fd, file. Behind the last descriptor there is no file.
    code.load(THE_FILE, CONTEXT, 24);
    let (cloexec, name) = (cloexec(types)?, name(types)?);
    code.unless_zero(THE_FILE, |code| {
        cloexec(code);
        name(code);
        code.put(FILE, THE_FILE);
        code.load(R1, THE_FILE, operations);
        code.put(OPERATIONS, R1);
        code.load(R2, R1, more);
        code.unless_zero(R2, |code| code.mark(MORE));
        code.load(R2, THE_FILE, pos);
        code.put(POS, R2);
        code.load(R1, THE_FILE, inode);
        code.load(R2, R1, ino);
        code.put(INO, R2);
        code.load(R2, R1, locks);
        code.unless_zero(R2, |code| code.mark(LOCKS));
        code.load_word(R2, THE_FILE, flags);
        code.put_word(FLAGS, R2);
        code.put_word(FD, THE_FD);
        code.load(R3, THE_FILE, object);
        code.read(OBJECT, OBJECT_LEN, NO_OBJECT);
        code.put_word(MARKS, THE_MARKS);
        code.load(R1, CONTEXT, 0);
        code.load(R1, R1, 0);
        code.copy(R2, STACK);
        code.plus(R2, on_stack(0).into());
        code.set(R3, RECORD as i32);
        code.call(WRITE);
    });
    code.set(R0, 0);
    code.add(0x95, (0, 0), 0, 0);
    Some(code.0)
}

/// Looks for the bit of the table that says whether the descriptor is closed by execve(2).
fn cloexec(types: &Types<'_>) -> Option<impl FnOnce(&mut Code)> {
    let [files] = types.members("task_struct", ["files"])?;
    let [table] = types.members("files_struct", ["fdt"])?;
    let [bits] = types.members("fdtable", ["close_on_exec"])?;
    Some(move |code: &mut Code| {
        code.set(THE_MARKS, UNREAD as i32);
        code.load_word(THE_FD, CONTEXT, 16);
        code.load(R1, CONTEXT, 8);
        code.unless_zero(R1, |code| {
            code.set(THE_MARKS, 0);
            code.load(R1, R1, files);
            code.load(R1, R1, table);
            // The address of the word, of 64 of them.
            code.load(R3, R1, bits);
            code.copy(R2, THE_FD);
            code.add(0x77, (R2, 0), 0, 6);
            code.add(0x67, (R2, 0), 0, 3);
            code.add(0x0f, (R3, R2), 0, 0);
            code.read(OBJECT, 8, UNREAD);
            code.load(R2, STACK, on_stack(OBJECT));
            code.copy(R3, THE_FD);
            code.add(0x57, (R3, 0), 0, 63);
            code.add(0x7f, (R2, R3), 0, 0);
            code.add(0x57, (R2, 0), 0, 1);
            code.unless_zero(R2, |code| code.mark(CLOEXEC));
        });
    })
}

/// Looks for the name that the file was opened by, as the addresses of an entry of a directory and of a mount, for the number of the
/// mount, and for an owner. Since Linux 6.12 there is a place for an owner only when one was set.
fn name(types: &Types<'_>) -> Option<impl FnOnce(&mut Code)> {
    let [path, owner] = types.members("file", ["f_path", "f_owner"])?;
    let [mnt, dentry] = types.members("path", ["mnt", "dentry"])?;
    let [within, mount_id] = types.members("mount", ["mnt", "mnt_id"])?;
    let [hash, parent] = types.members("dentry", ["d_hash", "d_parent"])?;
    let [hashed] = types.members("hlist_bl_node", ["pprev"])?;
    Some(move |code: &mut Code| {
        code.load(R1, THE_FILE, owner);
        code.if_zero(R1, |code| code.mark(UNOWNED));
        code.load(R1, THE_FILE, path + dentry);
        code.put(NAME, R1);
        code.load(R2, R1, parent);
        code.load(R3, R1, hash + hashed);
        // As the kernel has it (d_unlinked): the top of a file system is in no directory.
        code.if_zero(R3, |code| {
            code.unless_equal(R1, R2, |code| code.mark(UNLINKED));
        });
        code.load(R3, THE_FILE, path + mnt);
        code.put(NAME + 8, R3);
        // The mount lies around what the path leads to.
        code.plus(R3, i32::from(mount_id) - i32::from(within));
        code.read(MOUNT, 4, UNREAD);
    })
}
