use std::net::{IpAddr, Ipv6Addr};

/// The address of a hop, which may stand in brackets and before a port: `192.0.2.1:4711`, `[2001:db8::1]`. `None` for whatever else there is,
/// such as `unknown`, a name, or an address with a zone, which means nothing outside of the machine that wrote it.
pub(super) fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(trimmed(text)).ok()?;
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            if !port.is_empty() {
                is_port(port.strip_prefix(':')?).then_some(())?;
            }
            address.parse::<Ipv6Addr>().ok()?.into()
        }
        None => match text.split_once(':') {
            // Of IPv6 nobody could tell which colon is the last of the address.
            Some((address, port)) if is_port(port) => IpAddr::V4(address.parse().ok()?),
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// `parse` alone would take a sign.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Without the blanks around it that lists may have (RFC 9110, section 5.6.3).
pub(super) fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
