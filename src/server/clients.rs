//! The registry of connections: what CLIENT LIST shows, and how one connection closes another.

use crate::command;
use crate::config::OutputLimit;
use crate::resp::{Error, Output, Proto};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU64, AtomicUsize, fence,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

const NO_COMMAND: u16 = u16::MAX;
/// Bytes that a client may leave untaken before it is sent more without having asked (MONITOR).
const PUSHED_BYTES_MAX: u64 = 64 << 20;

/// What everybody may know of a connection. Only its own worker writes the figures.
pub struct Client {
    /// Counts connections from 1; 0 is the server itself.
    pub id: u64,
    /// The peer's address.
    pub addr: String,
    /// Our own address.
    pub laddr: String,
    created_ms: u64,
    waker: OnceLock<Waker>,
    killed: AtomicBool,
    monitor: AtomicBool,
    no_evict: AtomicBool,
    active_ms: AtomicU64,
    db: AtomicU8,
    proto: AtomicU8,
    command: AtomicU16,
    queued: AtomicI32,
    query_buffer: AtomicU64,
    output_buffer: AtomicU64,
    /// Since when it is owed more than the soft limit, in milliseconds since 1970; 0 if it is not.
    owed_since_ms: AtomicU64,
    text: Mutex<Text>,
    /// What others have for it, and its length, to see at a glance whether there is something.
    pushed: Mutex<BytesMut>,
    pushed_len: AtomicUsize,
}

#[derive(Default)]
struct Text {
    name: String,
    lib_name: String,
    lib_ver: String,
}

impl Client {
    fn new(id: u64, addr: String, laddr: String, now: u64) -> Self {
        Client {
            id,
            addr,
            laddr,
            created_ms: now,
            waker: OnceLock::new(),
            killed: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            active_ms: AtomicU64::new(now),
            db: AtomicU8::new(0),
            proto: AtomicU8::new(2),
            command: AtomicU16::new(NO_COMMAND),
            queued: AtomicI32::new(-1),
            query_buffer: AtomicU64::new(0),
            output_buffer: AtomicU64::new(0),
            owed_since_ms: AtomicU64::new(0),
            text: Mutex::default(),
            pushed: Mutex::default(),
            pushed_len: AtomicUsize::new(0),
        }
    }

    /// The server's own end of a connection to itself: in no list, and logged in.
    pub(super) fn inner(now: u64) -> Arc<Self> {
        Arc::new(Client::new(0, "inner".to_owned(), "inner".to_owned(), now))
    }

    /// Whether the server itself is at the other end.
    pub(super) fn is_inner(&self) -> bool {
        self.id == 0
    }

    /// Names the connection's task, which does so once, first of all. Without a lock or a change of hands, as there would be
    /// with a waker that may be another each time (`AtomicWaker`): a coordinator wakes a task for each reply.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
        // Either `wake` finds it, or what it wakes for is seen from here on.
        fence(SeqCst);
    }

    /// Wakes the connection's task, from any worker.
    pub fn wake(&self) {
        fence(SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Closes the connection.
    pub fn kill(&self) {
        self.killed.store(true, Relaxed);
        self.wake();
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }

    /// Notes what a batch of requests has changed.
    pub(super) fn note(&self, now: u64, command: u16, queued: i32, query: usize, output: usize) {
        self.active_ms.store(now, Relaxed);
        self.command.store(command, Relaxed);
        self.queued.store(queued, Relaxed);
        self.query_buffer.store(query as u64, Relaxed);
        self.output_buffer.store(output as u64, Relaxed);
    }

    /// Notes how many bytes of replies it has not taken, and closes the connection if these are more than it may be owed
    /// or have been for too long.
    pub(super) fn note_owed(&self, bytes: usize, limit: OutputLimit, now: u64) {
        self.output_buffer.store(bytes as u64, Relaxed);
        // What was pushed to one that takes everything is on its way.
        let bytes = if bytes == 0 { 0 } else { self.buffers().1 };
        let over = limit.soft > 0 && bytes >= limit.soft;
        let since = match self.owed_since_ms.load(Relaxed) {
            _ if !over => 0,
            0 => now,
            since => since,
        };
        self.owed_since_ms.store(since, Relaxed);
        if limit.hard > 0 && bytes >= limit.hard {
            self.close_for_owing(bytes);
        }
    }

    /// Closes the connection if it has been owed too much for too long.
    pub(super) fn check_owed(&self, limit: OutputLimit, now: u64) {
        let since = self.owed_since_ms.load(Relaxed);
        let bytes = self.buffers().1;
        let over = since > 0 && limit.soft > 0 && bytes >= limit.soft;
        if over && now.saturating_sub(since) > limit.soft_s * 1000 {
            self.close_for_owing(bytes);
        }
    }

    /// Hands the client bytes that answer no request of its own, from any worker; its connection sends them behind the
    /// replies that are due. Whoever has left [`PUSHED_BYTES_MAX`] untaken is closed; however many come at once, they
    /// are not yet left.
    pub(crate) fn push(&self, head: &[u8], rest: &[u8]) {
        if self.is_killed() {
            return;
        }
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = self.output_buffer.load(Relaxed) + pushed.len() as u64;
        if owed >= PUSHED_BYTES_MAX {
            *pushed = BytesMut::new();
            self.pushed_len.store(0, Relaxed);
            tracing::warn!(
                client = self.addr,
                owed,
                "client does not take what it is sent unasked: closed"
            );
            return self.kill();
        }
        pushed.extend_from_slice(head);
        pushed.extend_from_slice(rest);
        self.pushed_len.store(pushed.len(), Relaxed);
        drop(pushed);
        self.wake();
    }

    /// Whether something was pushed.
    pub(super) fn has_pushed(&self) -> bool {
        self.pushed_len.load(Relaxed) > 0
    }

    /// Moves what was pushed behind what the client is to be sent.
    pub(crate) fn take_pushed(&self, out: &mut Output) {
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut *pushed).freeze();
        self.pushed_len.store(0, Relaxed);
        drop(pushed);
        out.extend_shared(&bytes);
    }

    fn close_for_owing(&self, bytes: u64) {
        if !self.is_killed() {
            tracing::warn!(
                client = self.addr,
                bytes,
                "client does not take its replies: closed by client-output-buffer-limit"
            );
            self.kill();
        }
    }

    pub(super) fn note_monitor(&self, on: bool) {
        self.monitor.store(on, Relaxed);
    }

    /// Whether it watches what others send.
    pub(super) fn is_monitor(&self) -> bool {
        self.monitor.load(Relaxed)
    }

    pub(super) fn note_db(&self, db: u8) {
        self.db.store(db, Relaxed);
    }

    pub(super) fn note_proto(&self, proto: Proto) {
        self.proto.store(proto.version() as u8, Relaxed);
    }

    /// The command being executed, for CLIENT LIST by the client itself.
    pub(crate) fn note_command(&self, id: u16) {
        self.command.store(id, Relaxed);
    }

    /// Names the connection; an empty name takes the name away.
    pub fn set_name(&self, name: String) {
        self.text().name = name;
    }

    /// The connection's name, empty if it has none.
    pub fn name(&self) -> String {
        self.text().name.clone()
    }

    /// Notes the client library's name, or its version.
    pub fn set_library(&self, is_name: bool, value: String) {
        let mut text = self.text();
        *(if is_name { &mut text.lib_name } else { &mut text.lib_ver }) = value;
    }

    /// Notes that the client asked not to be evicted (`CLIENT NO-EVICT`); none ever is.
    pub fn set_no_evict(&self, on: bool) {
        self.no_evict.store(on, Relaxed);
    }

    /// Seconds since it connected.
    pub fn age_s(&self, now: u64) -> u64 {
        now.saturating_sub(self.created_ms) / 1000
    }

    /// Milliseconds since it last sent something.
    pub fn idle_ms(&self, now: u64) -> u64 {
        now.saturating_sub(self.active_ms.load(Relaxed))
    }

    /// Bytes of requests that are not executed, and of replies and of what was pushed that are not sent.
    pub fn buffers(&self) -> (u64, u64) {
        let pushed = self.pushed_len.load(Relaxed) as u64;
        (self.query_buffer.load(Relaxed), self.output_buffer.load(Relaxed) + pushed)
    }

    /// The line of CLIENT LIST, without a line break.
    pub fn describe(&self, now: u64) -> String {
        let text = self.text();
        let command = command::all().get(self.command.load(Relaxed) as usize);
        let (query, output) = self.buffers();
        let mut flags = String::new();
        if self.is_monitor() {
            flags.push('O');
        }
        if self.queued.load(Relaxed) >= 0 {
            flags.push('x');
        }
        if self.no_evict.load(Relaxed) {
            flags.push('e');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        format!(
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub=0 psub=0 ssub=0 \
             multi={} watch=0 qbuf={query} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={output} oll=0 \
             omem={output} tot-mem={} events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.addr,
            self.laddr,
            text.name,
            self.age_s(now),
            self.idle_ms(now) / 1000,
            self.db.load(Relaxed),
            self.queued.load(Relaxed),
            query + output,
            command.map_or("NULL", |found| found.full_name),
            self.proto.load(Relaxed),
            text.lib_name,
            text.lib_ver,
        )
    }

    /// Bytes in its buffers.
    pub fn buffered(&self) -> u64 {
        let (query, output) = self.buffers();
        query + output
    }

    fn text(&self) -> std::sync::MutexGuard<'_, Text> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections of a server.
#[derive(Default)]
pub struct Clients {
    last_id: AtomicU64,
    map: Mutex<BTreeMap<u64, Arc<Client>>>,
    /// The coordinator connections that have told the hash of their slot table.
    tables: Mutex<Vec<Claim>>,
}

struct Claim {
    client: u64,
    hash: String,
    coordinator: String,
}

impl Clients {
    /// Enters a connection.
    pub fn register(&self, addr: String, laddr: String, now: u64) -> Arc<Client> {
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let client = Arc::new(Client::new(id, addr, laddr, now));
        self.map().insert(id, client.clone());
        client
    }

    /// Strikes a connection out.
    pub fn remove(&self, client: &Client) {
        self.map().remove(&client.id);
        self.tables().retain(|claim| claim.client != client.id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.map().values().cloned().collect()
    }

    /// Wakes every connection, so that it sees that the server stops.
    pub fn wake_all(&self) {
        self.all().iter().for_each(|client| client.wake());
    }

    /// A coordinator tells by which slot table it routes.
    ///
    /// # Errors
    /// Another coordinator is connected that routes by a different one: the same key would live on two nodes.
    pub fn claim_table(&self, client: &Client, hash: String, name: String) -> Result<(), Error> {
        let mut tables = self.tables();
        if let Some(other) =
            tables.iter().find(|claim| claim.hash != hash && claim.coordinator != name)
        {
            let text = format!(
                "ERR coordinator {} serves this node with a different list of nodes than coordinator {name}: start \
                 both with the same nodes, and FLUSHALL when the list has changed",
                other.coordinator
            );
            return Err(Error::from(text));
        }
        tables.retain(|claim| claim.client != client.id);
        tables.push(Claim { client: client.id, hash, coordinator: name });
        Ok(())
    }

    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Vec<Claim>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_bounded_and_seen() {
        let clients = Clients::default();
        let register = || clients.register(String::new(), String::new(), 0);
        let client = register();
        let long = vec![b'x'; PUSHED_BYTES_MAX as usize];
        client.note(0, NO_COMMAND, -1, 0, 5);
        client.push(b"+", &long);
        assert!(!client.is_killed(), "nothing was left of what came before");
        client.take_pushed(&mut Output::default());
        client.push(b"+", &long);
        assert!(!client.is_killed(), "it was taken");
        client.push(b"+", b"x");
        assert!(client.is_killed());
        assert_eq!(client.buffered(), 5);
        let (hard, soft) = (register(), register());
        for client in [&hard, &soft] {
            client.push(b"+", &[b'x'; 98]);
            assert!(
                client.describe(0).contains(" obl=99 oll=0 omem=99 "),
                "{}",
                client.describe(0)
            );
        }
        hard.note_owed(1, OutputLimit { hard: 100, soft: 0, soft_s: 0 }, 1);
        assert!(hard.is_killed());
        let limit = OutputLimit { hard: 0, soft: 100, soft_s: 1 };
        soft.note_owed(1, limit, 1);
        soft.check_owed(limit, 1002);
        assert!(soft.is_killed());
    }

    #[test]
    fn two_coordinators_with_different_tables_cannot_both_have_a_node() {
        let clients = Clients::default();
        let register = || clients.register(String::new(), String::new(), 0);
        let (one, two, other) = (register(), register(), register());
        clients.claim_table(&one, "a".into(), "first".into()).unwrap();
        clients.claim_table(&two, "a".into(), "second".into()).unwrap();
        let refused = clients.claim_table(&other, "b".into(), "third".into()).unwrap_err();
        assert!(refused.text().contains("coordinator first") && refused.text().contains("third"));
        clients.remove(&one);
        clients.remove(&two);
        clients.claim_table(&other, "b".into(), "third".into()).unwrap();
    }
}
