//! What a connection has agreed with its client.

use super::{Client, Server};
use crate::command::Found;
use crate::resp::{Args, ArgsBuf, Proto};
use std::sync::Arc;

/// Whether replies are sent (`CLIENT REPLY`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyMode {
    /// Every one.
    On,
    /// None.
    Off,
    /// All but that of the next command.
    SkipNext,
}

/// The commands between MULTI and EXEC.
#[derive(Default)]
pub struct Queue {
    /// In the order they came.
    pub commands: Vec<(Found, ArgsBuf)>,
    /// Bytes of all of them.
    pub bytes: usize,
    /// Whether one was refused, so that EXEC must be.
    pub aborted: bool,
}

impl Queue {
    /// Queues a command.
    pub fn push(&mut self, found: Found, args: Args<'_>) {
        let args = args.to_owned();
        self.bytes += args.len();
        self.commands.push((found, args));
    }
}

/// The state of a connection.
pub struct Session {
    /// What others see of it.
    pub client: Arc<Client>,
    proto: Proto,
    db: u8,
    /// Whether it may send commands.
    pub authenticated: bool,
    /// A coordinator of the cluster is at the other end.
    internal: bool,
    /// Only coordinators may use it: the server has no password, and its client is of another machine.
    restricted: bool,
    /// Between MULTI and EXEC.
    pub queue: Option<Queue>,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// EXEC is executing its commands: what would have the client wait, or be sent more than a reply, must not begin.
    pub in_exec: bool,
    monitoring: bool,
    /// Whether it closes when all replies are sent.
    pub closing: bool,
}

impl Session {
    /// The session of a new connection.
    pub fn new(client: Arc<Client>, server: &Server) -> Self {
        Session {
            proto: Proto::Resp2,
            db: 0,
            authenticated: client.is_inner() || !server.config.has_password(),
            internal: false,
            restricted: false,
            client,
            queue: None,
            reply_mode: ReplyMode::On,
            in_exec: false,
            monitoring: false,
            closing: false,
        }
    }

    /// Back to how it began (`RESET`).
    pub fn reset(&mut self, server: &Server) {
        self.client.set_name(String::new());
        self.set_db(0);
        self.set_proto(Proto::Resp2);
        self.authenticated = !server.config.has_password() && !self.restricted;
        self.internal = false;
        self.forget_routes(server);
        self.queue = None;
        self.reply_mode = ReplyMode::On;
        self.stop_monitoring(server);
    }

    /// Whether a coordinator of the cluster that this node is a member of is at the other end, and has proved it.
    pub fn is_internal(&self) -> bool {
        self.internal
    }

    /// A coordinator has proved that it is one.
    pub(crate) fn log_in_internal(&mut self) {
        (self.authenticated, self.internal) = (true, true);
    }

    /// The one user that others have has logged in.
    pub(crate) fn log_in(&mut self, server: &Server) {
        self.authenticated = true;
        if std::mem::take(&mut self.internal) {
            self.set_db(0);
            self.forget_routes(server);
        }
    }

    /// Whether it is refused whatever only coordinators may do (protected mode).
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// Lets only coordinators use it.
    pub(super) fn restrict(&mut self) {
        (self.restricted, self.authenticated) = (true, false);
    }

    /// No requests of a coordinator come any more, by whichever table it routed them.
    pub(super) fn forget_routes(&self, server: &Server) {
        if let Some(local) = server.local() {
            local.forget(self.client.id);
        }
    }

    /// Whether it is shown what all clients send (`MONITOR`).
    pub fn is_monitoring(&self) -> bool {
        self.monitoring
    }

    /// Begins to be shown what all clients send.
    pub fn start_monitoring(&mut self, server: &Server) {
        self.monitoring = true;
        self.client.note_monitor(true);
        server.monitors.add(&self.client);
    }

    /// Is shown no more of it.
    pub fn stop_monitoring(&mut self, server: &Server) {
        if std::mem::take(&mut self.monitoring) {
            self.client.note_monitor(false);
            server.monitors.remove(&self.client);
        }
    }

    /// The protocol version.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the protocol version.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
        self.client.note_proto(proto);
    }

    /// The database.
    pub fn db(&self) -> u8 {
        self.db
    }

    /// Changes the database.
    pub fn set_db(&mut self, db: u8) {
        self.db = db;
        self.client.note_db(db);
    }
}
