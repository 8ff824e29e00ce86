//! Where to listen: addresses as text, and the sockets for them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::str::FromStr;

/// An address to listen on: `:10076` (every address of this machine), `host:10076`, `127.0.0.1:10076`, `[::1]:10076`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    host: String,
    port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| format!("`{text}` has no port; write host:port, [IPv6]:port or :port"))?;
        // `+80` is a number for the standard library.
        let port = Some(port)
            .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| format!("`{text}`: the port is not a number from 0 to 65535"))?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(format!("`{text}`: no IPv6 address stands between the brackets")),
            None if host.contains([':', '[', ']']) => {
                return Err(format!("`{text}`: an IPv6 address stands in brackets, as in [::1]:{port}"));
            }
            None if host.contains(|c: char| c.is_whitespace() || c == '/') => {
                return Err(format!("`{text}` is not host:port; no scheme and no path belong here"));
            }
            None => host,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl ListenAddress {
    /// The sockets of this address: usually one, more where a name has several addresses. The error says which address
    /// and why.
    pub(super) fn bind(&self) -> Result<Vec<TcpListener>, String> {
        let bound = if self.host.is_empty() { self.bind_everywhere() } else { self.bind_named() };
        bound.map_err(|error| format!("cannot listen on {self}: {}", reason(&error)))
    }

    /// The unspecified IPv6 address takes IPv4 too on most systems. Where it does not, there is a second socket for
    /// IPv4; where it does, a second one cannot be had and is not needed; and some machines have no IPv6.
    fn bind_everywhere(&self) -> io::Result<Vec<TcpListener>> {
        let six = TcpListener::bind((Ipv6Addr::UNSPECIFIED, self.port));
        let port =
            six.as_ref().ok().and_then(|six| six.local_addr().ok()).map_or(self.port, |six| six.port());
        let four = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
        match (six, four) {
            (Ok(six), Ok(four)) => Ok(vec![six, four]),
            (Ok(six), Err(error)) if error.kind() == io::ErrorKind::AddrInUse => Ok(vec![six]),
            (Err(error), Ok(four)) if error.kind() != io::ErrorKind::AddrInUse => Ok(vec![four]),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    fn bind_named(&self) -> io::Result<Vec<TcpListener>> {
        let mut addresses: Vec<SocketAddr> = match self.host.parse::<IpAddr>() {
            Ok(ip) => vec![(ip, self.port).into()],
            Err(_) => (self.host.as_str(), self.port).to_socket_addrs()?.collect(),
        };
        addresses.sort_unstable();
        addresses.dedup();
        let mut listeners = Vec::new();
        let mut absent = None;
        for address in addresses {
            match TcpListener::bind(address) {
                Ok(listener) => listeners.push(listener),
                // `localhost` names ::1 also where IPv6 is off.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => absent = Some(error),
                Err(error) => return Err(error),
            }
        }
        match absent {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(listeners),
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; is another exporter running? --web.listen-address chooses another".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 usually need a privilege, --web.listen-address chooses another"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<ListenAddress, String> {
        text.parse()
    }

    #[test]
    fn addresses_are_read_as_exporters_write_them() {
        for text in [":10076", "0.0.0.0:80", "localhost:10076", "[::1]:10076", "[::]:0", "exporter.example:1"]
        {
            assert_eq!(listen(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "has no port"),
            ("10076", "has no port"),
            (":", "not a number"),
            (":65536", "not a number"),
            (":+80", "not a number"),
            ("host:http", "not a number"),
            ("::1:10076", "in brackets"),
            ("[::1]", "not a number"),
            ("[host]:80", "no IPv6 address"),
            ("http://host:80", "in brackets"),
            ("a b:80", "is not host:port"),
            ("//host:80", "is not host:port"),
        ] {
            let error = listen(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn every_address_of_the_machine_is_reached_through_the_short_form() {
        let listeners = listen(":0").unwrap().bind().unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("IPv4 is listened on");
        if listeners[0].local_addr().unwrap().is_ipv6() {
            std::net::TcpStream::connect(("::1", port)).expect("IPv6 is listened on");
        }
    }

    #[test]
    fn a_port_in_use_is_told_with_the_address_and_a_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        for text in [format!("127.0.0.1:{port}"), format!(":{port}")] {
            let error = listen(&text).unwrap().bind().expect_err("the port is taken");
            assert!(error.starts_with(&format!("cannot listen on {text}: the port is in use")), "{error}");
            assert!(error.contains("--web.listen-address"), "{error}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        // RFC 5737 sets this one aside for documents.
        let error = listen("192.0.2.1:0").unwrap().bind().expect_err("it is nobody's");
        assert!(error.contains("does not have that address"), "{error}");
    }
}
