//! The beginning of a link: what a coordinator says to a node first, and what it makes of the answers.

use super::Settings;
use crate::cluster::{Epoch, INTERNAL_USER};
use crate::resp::{ArgsBuf, Framer, Proto};
use anyhow::{Context, Result, anyhow, bail};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connects and shakes hands: password, protocol version, slot table, and a sign of life, since a frozen node's
/// kernel accepts connections too. `epoch` is asked when the connection is there: the table that is to be announced to a
/// member of a cluster. Answers also whether the node is one of Larder's.
pub(super) async fn connect(
    addr: &str,
    proto: Proto,
    settings: &Settings,
    epoch: impl FnOnce() -> Epoch,
) -> Result<(TcpStream, bool)> {
    let mut stream = TcpStream::connect(addr).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let epoch = epoch().to_string();
    let requests = greeting(proto, settings, &epoch);
    let mut out = BytesMut::new();
    for request in &requests {
        ArgsBuf::build(request).args().encode_into(&mut out);
    }
    stream.write_all(&out).await.context("cannot send the handshake")?;
    let (mut framer, mut buf, mut is_larder) = (Framer::default(), BytesMut::new(), true);
    for request in &requests {
        let length = loop {
            match framer.frame(&buf).map_err(|_| anyhow!("it does not speak the Redis protocol"))? {
                Some(length) => break length,
                None if stream.read_buf(&mut buf).await? == 0 => bail!("it closed the connection"),
                None => {}
            }
        };
        let reply = buf.split_to(length);
        let text = String::from_utf8_lossy(&reply[1..]).trim_end().to_owned();
        let unknown = text.starts_with("ERR unknown command");
        match (reply[0], request[0]) {
            (b'-', b"LARDER") if unknown => is_larder = false,
            (b'-', b"CLIENT") => {}
            (b'-', b"AUTH" | b"HELLO") if matches!(settings, Settings::Members { .. }) => {
                bail!("it refuses this cluster's key: {text}")
            }
            (b'-', _) if text.starts_with("NOAUTH") => {
                bail!("it asks for a password: name a file with it by --node-password-file")
            }
            (b'-', _) if text.starts_with("WRONGPASS") || request[0] == b"AUTH" => {
                bail!("it refuses the password in --node-password-file: {text}")
            }
            (b'-', _) => bail!("it answers: {text}"),
            _ => {}
        }
    }
    Ok((stream, is_larder))
}

/// What is said first.
fn greeting<'a>(proto: Proto, settings: &'a Settings, epoch: &'a str) -> Vec<Vec<&'a [u8]>> {
    let (user, password, table) = match settings {
        Settings::List { password, table, name } => {
            let table: Vec<&[u8]> = vec![b"LARDER", b"TABLE", table.as_bytes(), name.as_bytes()];
            ("default", password.as_deref().unwrap_or_default(), table)
        }
        Settings::Members { secret } => {
            let table: Vec<&[u8]> = vec![b"LARDER", b"EPOCH", epoch.as_bytes()];
            (INTERNAL_USER, secret.password(), table)
        }
    };
    let mut requests: Vec<Vec<&[u8]>> = match (proto, user, password) {
        (Proto::Resp2, _, "") => vec![],
        (Proto::Resp2, "default", password) => vec![vec![b"AUTH", password.as_bytes()]],
        (Proto::Resp2, user, password) => {
            vec![vec![b"AUTH", user.as_bytes(), password.as_bytes()]]
        }
        (Proto::Resp3, _, "") => vec![vec![b"HELLO", b"3"]],
        (Proto::Resp3, user, password) => {
            vec![vec![b"HELLO", b"3", b"AUTH", user.as_bytes(), password.as_bytes()]]
        }
    };
    requests.push(table);
    requests.push(vec![b"CLIENT", b"SETNAME", b"larder-coordinator"]);
    requests.push(vec![b"PING"]);
    requests
}
