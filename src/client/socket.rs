//! A TCP or Unix connection to an address as people write it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Result, anyhow};

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects to `HOST:PORT` (every address of the name is tried) or to the path of a socket.
    pub(super) fn connect(addr: &str, timeout: Duration) -> Result<Socket> {
        if addr.starts_with(['/', '.']) {
            return match UnixStream::connect(addr) {
                Ok(stream) => Ok(Socket::Unix(stream)),
                Err(error) => Err(no_connection(addr, &reason(&error, timeout), error.kind())),
            };
        }
        let port = addr.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err(anyhow!(
                "{addr} is not an address: expected HOST:PORT, such as 127.0.0.1:6379, \
                 or the path of a Unix socket"
            ));
        }
        let resolved = addr
            .to_socket_addrs()
            .map_err(|error| anyhow!("could not find the address of {addr}: {error}"))?;
        let mut last = anyhow!("could not find the address of {addr}: the name has none");
        for address in resolved {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    // A request is one write; there is nothing to wait for.
                    stream.set_nodelay(true)?;
                    return Ok(Socket::Tcp(stream));
                }
                Err(error) => last = no_connection(addr, &reason(&error, timeout), error.kind()),
            }
        }
        Err(last)
    }

    pub(super) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_nonblocking(on),
            Socket::Unix(stream) => stream.set_nonblocking(on),
        }
    }

    /// `None` waits for ever.
    pub(super) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.set_read_timeout(timeout),
            Socket::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn no_connection(addr: &str, reason: &str, kind: io::ErrorKind) -> anyhow::Error {
    let hint = match kind {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            "; is larder running? start one with: larder up"
        }
        _ => "",
    };
    anyhow!("could not connect to {addr}: {reason}{hint}")
}

/// An I/O error in words, without the number that the system gives it.
pub(super) fn reason(error: &io::Error, timeout: Duration) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the server closed the connection".to_owned()
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            format!("no answer within {timeout:?}")
        }
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(addr: &str) -> String {
        Socket::connect(addr, Duration::from_millis(300)).unwrap_err().to_string()
    }

    #[test]
    fn not_an_address() {
        for addr in ["localhost", "a:b", "127.0.0.1:0", "127.0.0.1:70000", ""] {
            assert!(refusal(addr).contains("expected HOST:PORT"), "{addr}");
        }
    }

    #[test]
    fn nobody_there() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        assert!(Socket::connect(&addr, Duration::from_secs(1)).is_ok());
        drop(listener);
        let expected = format!(
            "could not connect to {addr}: connection refused; \
             is larder running? start one with: larder up"
        );
        assert_eq!(refusal(&addr), expected);
        assert!(refusal("/nonexistent/larder.sock").contains("No such file"));
    }
}
