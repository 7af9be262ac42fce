//! The TCP sockets that a Linux machine listens to, from `/proc/net/tcp` and `/proc/net/tcp6` (proc_pid_net(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use modeller::{Error, Result};

pub type Socket = SocketAddr;

/// The number of the state of a socket that listens, `TCP_LISTEN` in the kernel's `tcp_states.h`.
const LISTEN: &str = "0A";

/// All that listen now; none where there is no such file.
pub async fn listening() -> Result<Vec<Socket>> {
    let mut found = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(file) {
            Ok(text) => found.extend(parse(&text)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::new("NO_SOCKETS").caused_by(cause)),
        }
    }
    // Several processes may share one.
    found.sort();
    found.dedup();
    Ok(found)
}

/// The sockets of a table that listen; lines that are none are passed over.
fn parse(text: &str) -> impl Iterator<Item = Socket> {
    text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _remote, state) = (words.next()?, words.next()?, words.next()?);
        if state == LISTEN { address(local) } else { None }
    })
}

/// An address as the kernel writes it: words of 32 bits in the order of the machine, and a port, in hexadecimal.
fn address(text: &str) -> Option<Socket> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 0100007F:0016 00000000:0000 0A 00000000:00000000\n\
            1: 0100007F:0017 0100007F:9999 01 00000000:00000000\n\
            2: 00000000:1F90 00000000:0000 0A 00000000:00000000\n\
            3: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0\n\
            4: xyz:0016 0:0 0A\n";
        let found: Vec<String> = parse(table).map(|socket| socket.to_string()).collect();
        assert_eq!(found, ["127.0.0.1:22", "0.0.0.0:8080", "[::1]:80"]);
    }
}
