//! The one list of everything that a stream can say, by scope.
//!
//! A resource is a file of the same name in three crates: what it is (here), how it is taken (`lib/capture`) and how it is
//! rebuilt (`lib/rebuild`), each in the directory of its scope, and one line below:
//!
//! ```text
//! module: Type KIND VERSION [PHASES];
//! ```
//!
//! KIND is the number of the record in the stream, VERSION that of its shape; both are for ever. PHASES name when
//! `restore` applies the resource (`Phase` of `lib/plan`), in the order in which a resource wants to be asked. From this list
//! come the modules, decoding, names, the typed store [`Tree`](crate::Tree), the walk over references, and the dispatch of
//! capture and rebuild: a part that is missing does not compile. From it also comes what `lib/plan` demands of a stream: every
//! living process has a record of each kind of the scope `process`, and every thread one of each kind of the scope `thread`; a
//! record of a scope belongs to something that is there; and each record is what it says itself that it must be
//! ([`Resource::check`](crate::Resource::check), [`Resource::links`](crate::Resource::links)).
//!
//! | scope | one record for | part in capture | part in rebuild |
//! |---|---|---|---|
//! | `frame` | the stream, or what ties other records together | the tools | the tools |
//! | `namespace` | a namespace | `OfNamespace` | `Space` |
//! | `process` | a process (several records of a kind may share one) | `OfProcess` | `ForProcess` |
//! | `thread` | a thread | `OfThread` | `ForThread` |
//! | `file` | an open file description, by what it is | `OfFile` | `ForFile` |
//! | `descriptor` | a property of a descriptor or its description | `OfDescriptor` | `ForDescriptor` |
//! | `object` | something without a process | `OfObject` | `ForObject` |
//! | `bulk` | memory and contents, behind all metadata | `dumpmem`, `dumpfs` | `restore` |

/// Hands the list to the macro `$then`.
#[macro_export]
macro_rules! resources {
    ($then:ident) => {
        $then! {
            frame {
                begin: Begin 1 1 [];
                entered: Entered 26 1 [];
                options: Options 13 5 [];
                losses: Losses 14 1 [];
                tree_end: TreeEnd 30 1 [];
                cpu: Cpu 59 1 [];
                vdso: Vdso 33 1 [];
                mount_tree: MountTree 36 1 [];
                file_tree: FileTree 37 1 [];
                removed_mount: RemovedMount 233 2 [];
                proc_space: ProcSpace 235 1 [];
                stage: Stage 31 1 [];
                requests: Requests 39 1 [];
                mapped_file: MappedFile 41 1 [];
                fd_entries: FdEntries 48 4 [];
                union: Union 43 1 [];
                inherited: Inherited 44 1 [];
                left_pages: LeftPages 239 1 [];
                parent: Parent 250 1 [];
                tracked: Tracked 251 1 [];
                unchanged: Unchanged 252 1 [];
                network_lock: NetworkLock 45 1 [];
                open_file: OpenFile 49 2 [];
                fd_table: FdTable 50 1 [];
            }
            namespace {
                space: Namespace 15 2 [];
                user: IdMaps 94 1 [];
                uts: UtsNames 29 1 [];
                interfaces: Interfaces 200 1 [];
                addresses: Addresses 201 1 [];
                variables: NetVariables 202 1 [];
                routes: Routes 203 1 [];
                rules: RoutingRules 204 1 [];
                neighbours: Neighbours 205 1 [];
                tables: NfTables 206 1 [];
                ipc_variables: IpcVariables 207 1 [];
                semaphores: Semaphores 208 1 [];
                message_list: MessageList 209 1 [];
                closed_queues: ClosedQueues 210 1 [];
                cgroup_roots: CgroupRoots 230 1 [];
                space_device: SpaceDevice 231 1 [];
                pid_names: PidNames 234 1 [];
            }
            process {
                ids: Process 2 3 [];
                namespaces: Namespaces 16 1 [Limits];
                vmas: Vmas 12 3 [Map Protect];
                mm: Mm 11 2 [Numbers Executable];
                fs: Fs 10 1 [Directories Settings];
                settings: Settings 17 1 [Settings Dumpable];
                limits: Limits 8 1 [Limits Last];
                process_signals: ProcessSignals 4 2 [Settings Queue Last];
                timers: Timers 6 1 [Timers];
                audit: Audit 18 1 [Numbers];
                dump_filter: DumpFilter 19 1 [Settings];
                autogroup: Autogroup 20 1 [Settings];
                membarrier: Membarrier 21 1 [Numbers];
                aio: Aio 28 1 [Numbers];
                keyring: Keyring 38 1 [Numbers];
            }
            thread {
                registers: Thread 3 2 [Register ParentDeath];
                thread_signals: ThreadSignals 5 1 [Register Queue];
                sched: Sched 9 1 [Sched];
                creds: Creds 7 1 [Creds];
                prctls: Prctls 22 1 [Sched];
                io_priority: IoPriority 23 1 [Sched];
                memory_policy: MemoryPolicy 24 1 [Sched];
                seccomp: Seccomp 25 1 [Sched];
            }
            file {
                message_queue: MessageQueue 79 1 [Last];
                regular: Regular 60 2 [];
                directory: Directory 61 1 [];
                device: Device 62 1 [];
                block_device: BlockDevice 81 1 [];
                kernel_log: KernelLog 82 1 [];
                fifo: Fifo 63 1 [];
                nameless_file: NamelessFile 64 1 [];
                pipe: Pipe 65 1 [];
                eventfd: Eventfd 66 1 [];
                timerfd: Timerfd 67 1 [];
                signalfd: Signalfd 68 1 [];
                epoll: Epoll 69 1 [Watches];
                unix: UnixSocket 70 3 [Prepare];
                tcp: TcpSocket 71 2 [Prepare];
                udp: UdpSocket 72 2 [];
                datagram: DatagramSocket 86 1 [];
                netlink: NetlinkSocket 87 1 [];
                packet: PacketSocket 88 1 [];
                mptcp: MptcpSocket 89 1 [];
                external: External 73 1 [];
                pidfd: Pidfd 74 3 [Late];
                inotify: Inotify 75 1 [];
                fanotify: Fanotify 83 1 [];
                bpf_map: BpfMap 91 1 [];
                pty_master: PtyMaster 84 1 [];
                pty_slave: PtySlave 85 1 [];
                special_path: SpecialPath 76 1 [];
                proc_file: ProcFile 77 1 [Late Last];
                namespace_file: NamespaceFile 78 1 [Late];
                io_uring: IoUring 80 2 [Descriptors];
            }
            descriptor {
                owner: Owner 53 2 [Descriptors];
                locks: Locks 54 1 [Opened Descriptors];
                terminal: Terminal 55 1 [];
                lease: Lease 56 1 [Opened Descriptors];
                attributes: Attributes 57 1 [Opened];
                outside_socket: OutsideSocket 27 1 [];
                outside_terminal: OutsideTerminal 90 1 [];
                socket_space: SocketSpace 232 1 [];
            }
            object {
                pty: Pty 46 1 [];
                queue: Queue 34 1 [];
                removed_node: RemovedNode 32 2 [];
                carried_file: CarriedFile 40 1 [];
                cgroup: Cgroup 47 1 [];
                nameless: Object 42 4 [];
                pipe_data: PipeData 51 1 [];
                socket_queue: SocketQueue 52 3 [];
                datagram_queue: DatagramQueue 35 1 [];
                tcp_connection: TcpConnection 58 1 [];
            }
            bulk {
                pages: Pages 100 2 [];
                object_data: ObjectData 101 2 [];
                parent_pages: ParentPages 102 1 [];
                patches: Patches 103 1 [];
                compressed: Compressed 104 1 [];
            }
        }
    };
}
