//! The connection to a server: login, requests and replies, and one new try when it was idle too
//! long and the server has closed it.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bytes::BytesMut;
use redis_protocol::resp2::{encode, types::BytesFrame};

use super::Options;
use super::paint::harmless;
use super::reply::{self, Reply};
use super::socket::{Socket, reason};
use super::state::State;

pub(super) struct Connection {
    addr: String,
    timeout: Duration,
    socket: Option<Socket>,
    received: BytesMut,
    state: State,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(options: &Options) -> Result<Connection> {
        let mut connection = Connection {
            addr: options.addr.clone(),
            timeout: options.timeout,
            socket: None,
            received: BytesMut::new(),
            state: State::new(options),
        };
        connection.connect()?;
        Ok(connection)
    }

    pub(super) fn addr(&self) -> &str {
        &self.addr
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn db(&self) -> u32 {
        self.state.db
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.state.in_transaction
    }

    /// Sends one request. A connection that the server has closed meanwhile is renewed before:
    /// nothing is ever sent twice.
    pub(super) fn send(&mut self, args: &[Vec<u8>]) -> Result<()> {
        if !self.still_open() {
            let lost = self.state.in_transaction;
            self.connect()?;
            if lost {
                bail!("the server closed the connection, and the transaction with it");
            }
        }
        self.write(args)
    }

    /// Sends one request and waits for its reply no longer than the time-out.
    pub(super) fn ask(&mut self, args: &[&str]) -> Result<Reply> {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        self.send(&args)?;
        self.receive_in_time()
    }

    /// The next reply, however long it takes; `None` when the server closed the connection.
    pub(super) fn receive(&mut self) -> Result<Option<Reply>> {
        let received = self.read_reply();
        if !matches!(received, Ok(Some(_))) {
            self.close();
        }
        received
    }

    /// Whether a reply to this request will come. Call it once for each request sent.
    pub(super) fn will_answer(&mut self, args: &[Vec<u8>]) -> bool {
        self.state.will_answer(args)
    }

    /// Notes what a request has changed for this connection.
    pub(super) fn note(&mut self, args: &[Vec<u8>], reply: &Reply) {
        self.state.note(args, reply);
    }

    fn connect(&mut self) -> Result<()> {
        self.close();
        self.socket = Some(Socket::connect(&self.addr, self.timeout)?);
        let done = self.log_in();
        if done.is_err() {
            self.close();
        }
        done
    }

    fn log_in(&mut self) -> Result<()> {
        if let Some((user, password)) = self.state.login.clone() {
            let mut args = vec![b"AUTH".to_vec()];
            args.extend(user);
            args.push(password);
            if let Some(refusal) = self.refusal(args)? {
                bail!("could not log in at {}: {refusal}", self.addr);
            }
        }
        if self.state.resp3
            && let Some(refusal) = self.refusal(vec![b"HELLO".to_vec(), b"3".to_vec()])?
        {
            eprintln!("RESP3 was refused, RESP2 is used: {}", harmless(&refusal));
            self.state.resp3 = false;
        }
        if self.state.db != 0 {
            let args = vec![b"SELECT".to_vec(), self.state.db.to_string().into_bytes()];
            if let Some(refusal) = self.refusal(args)? {
                bail!("could not select database {} at {}: {refusal}", self.state.db, self.addr);
            }
        }
        Ok(())
    }

    /// The error that the server answers, if any.
    fn refusal(&mut self, args: Vec<Vec<u8>>) -> Result<Option<String>> {
        self.write(&args)?;
        match self.receive_in_time()? {
            Reply::Error(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            _ => Ok(None),
        }
    }

    fn receive_in_time(&mut self) -> Result<Reply> {
        self.set_timeout(Some(self.timeout))?;
        let reply = loop {
            match self.receive()? {
                Some(Reply::Push(_)) => {}
                Some(reply) => break reply,
                None => bail!("{} closed the connection before it answered", self.addr),
            }
        };
        self.set_timeout(None)?;
        Ok(reply)
    }

    fn set_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        if let Some(socket) = &self.socket {
            socket.set_timeout(timeout)?;
        }
        Ok(())
    }

    fn write(&mut self, args: &[Vec<u8>]) -> Result<()> {
        let words = args.iter().map(|arg| BytesFrame::BulkString(arg.clone().into())).collect();
        let mut wire = BytesMut::new();
        encode::extend_encode(&mut wire, &BytesFrame::Array(words), false)
            .map_err(|error| anyhow!("the request can't be sent: {}", error.details()))?;
        let Some(socket) = &mut self.socket else { bail!("not connected") };
        match socket.write_all(&wire) {
            Ok(()) => Ok(()),
            // The server may have said why before it hung up; reading will tell.
            Err(error) if is_hang_up(&error) => Ok(()),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn read_reply(&mut self) -> Result<Option<Reply>> {
        loop {
            if let Some(reply) = reply::take(&mut self.received)? {
                return Ok(Some(reply));
            }
            match self.read_some() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_hang_up(&error) => return Ok(None),
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else {
            return Ok(0);
        };
        let mut chunk = [0; 65_536];
        let count = socket.read(&mut chunk)?;
        self.received.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// Whether the server still holds the connection. What it sent by itself is kept.
    fn still_open(&mut self) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        if socket.set_nonblocking(true).is_err() {
            return false;
        }
        let open = match self.read_some() {
            Ok(count) => count > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        let blocking = self.socket.as_ref().is_some_and(|s| s.set_nonblocking(false).is_ok());
        // A last message before the end, such as a refusal: read it first.
        (open && blocking) || !self.received.is_empty()
    }

    fn close(&mut self) {
        self.socket = None;
        self.received.clear();
        self.state.disconnected();
    }

    fn failure(&self, error: &io::Error) -> anyhow::Error {
        anyhow!("{}: {}", self.addr, reason(error, self.timeout))
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted
    )
}
