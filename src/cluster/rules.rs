//! The times of the protocol, and its fencing rules as switches, so that tests can show what each is for.

/// How long a lease lasts from when the node sent the heartbeat that it answers, by the node's clock.
pub const LEASE_MS: u64 = 1500;
/// How much longer than a lease the authority waits by its own clock before it takes the lease for ended. Clocks may so
/// differ in rate by 13 %; quartz does by 0.01 %.
pub const MARGIN_MS: u64 = 200;
/// How often a node or a coordinator sends a heartbeat.
pub const HEARTBEAT_MS: u64 = 500;
/// A heartbeat out of turn comes no sooner than this after the last one.
pub const HURRY_MS: u64 = 10;
/// Who is silent for so long is taken for frozen or cut off.
pub const SILENT_MS: u64 = 1500;
/// How often the authority wants to be asked whether it is time for something.
pub const TICK_MS: u64 = 50;
/// An authority that was not asked for so long was frozen itself: nobody else was silent meanwhile.
pub const STALL_MS: u64 = 500;
/// Joins and changes of capacity enter the table when there was none for so long
pub const DEBOUNCE_MS: u64 = 1000;
/// (if there are no nodes yet for so long), ...
pub(super) const DEBOUNCE_FIRST_MS: u64 = 30;
/// ... or the first one waits since so long.
pub const DEBOUNCE_MAX_MS: u64 = 2000;
/// Slots of members that live move in steps, one in so long at most.
pub const STEP_MS: u64 = 100;
/// Slots of one step, unless it is said otherwise: a new node among three has its share after half a second.
pub const STEP_SLOTS: u16 = 1024;
/// Who is no member and was silent for so long is forgotten.
pub const FORGET_MS: u64 = 60_000;
/// Nodes and coordinators that an authority knows at most; others are not heard.
pub const PEERS_MAX: usize = 2000;

/// The rules that keep a stale value from being served, see [`super`]. All hold, except where a test takes one out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A node serves the slots only that its leased table gives it.
    pub(super) table: bool,
    /// A node drops what it has of a slot that changed hands since it last held it.
    pub(super) drop: bool,
    /// A node serves only before its lease ends.
    pub(super) lease: bool,
    /// The lease counts from when the heartbeat was sent, not from when the answer came.
    pub(super) from_send: bool,
    /// A table gives way to newer ones only.
    pub(super) floor: bool,
    /// A node says that it gave slots up when no request is under way that began before.
    pub(super) settle: bool,
    /// A slot gets its next owner when the last one gave it up or its lease has surely ended.
    pub(super) wait: bool,
    /// Who is about to lose slots unasked gets no lease until that is decided.
    pub(super) withhold: bool,
    /// A restarted node gets a lease when that of its last life has surely ended.
    pub(super) boot: bool,
    /// A restarted authority grants nothing, and moves nothing, until every lease of its last life has surely ended.
    pub(super) restart: bool,
    /// An authority stops when somebody knows a table that it does not.
    pub(super) refuse: bool,
}

impl Rules {
    /// All of them.
    pub(super) const ALL: Rules = Rules {
        table: true,
        drop: true,
        lease: true,
        from_send: true,
        floor: true,
        settle: true,
        wait: true,
        withhold: true,
        boot: true,
        restart: true,
        refuse: true,
    };
}
