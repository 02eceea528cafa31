//! https: a rustls configuration, and the stream that encrypts over a [`Socket`].
//!
//! The provider is `ring`, named explicitly: a process-wide default that some other crate installed
//! or failed to install changes nothing here.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::error::{Cause, Error, Phase, cause_of};
use super::socket::{Pending, Socket};

/// Builds the configuration from Mozilla's roots and the caller's own, given as DER.
pub(crate) fn config(own_roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, Error> {
    let failed = |what: &str, e: rustls::Error| {
        Error::new(Cause::Tls, Phase::Prepare, format!("{what}: {e}")).with_source(e)
    };
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for der in own_roots {
        roots
            .add(CertificateDer::from(der.as_slice()))
            .map_err(|e| failed("the root certificate is not usable (DER is expected)", e))?;
    }
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| failed("no TLS version is available", e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// An encrypted connection.
pub(crate) struct TlsStream(StreamOwned<ClientConnection, Socket>);

impl TlsStream {
    /// Shakes hands with `host` over `socket`, within the socket's limits.
    pub(crate) fn connect(
        config: &Arc<ClientConfig>,
        host: &str,
        mut socket: Socket,
    ) -> Result<TlsStream, Error> {
        // A trailing dot makes a name absolute in DNS; certificates never carry it.
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
            .map_err(|e| {
                let message = format!("the host {host:?} can't be named in a certificate: {e}");
                Error::new(Cause::Tls, Phase::Connect, message).with_source(e)
            })?;
        let mut session = ClientConnection::new(Arc::clone(config), name).map_err(|e| {
            Error::new(
                Cause::Tls,
                Phase::Connect,
                format!("TLS could not start: {e}"),
            )
            .with_source(e)
        })?;
        let remote = socket.remote();
        while session.is_handshaking() {
            session
                .complete_io(&mut socket)
                .map_err(|e| explain(host, remote, e))?;
        }
        Ok(TlsStream(StreamOwned::new(session, socket)))
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.0.sock
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket {
        &mut self.0.sock
    }

    /// Looks for plaintext without waiting. Records that carry none (session tickets, key updates)
    /// are taken in on the way.
    pub(crate) fn pending(&mut self) -> Pending {
        loop {
            let Ok(state) = self.0.conn.process_new_packets() else {
                return Pending::Closed;
            };
            if state.plaintext_bytes_to_read() > 0 {
                return Pending::Data;
            }
            if state.peer_has_closed() {
                return Pending::Closed;
            }
            match self.0.sock.pending() {
                Pending::Data => {}
                other => return other,
            }
            // There is data, so this read does not wait.
            match self.0.conn.read_tls(&mut self.0.sock) {
                Ok(0) | Err(_) => return Pending::Closed,
                Ok(_) => {}
            }
        }
    }
}

impl Read for TlsStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for TlsStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Turns what the handshake failed with into one line that names host and address.
fn explain(host: &str, remote: std::net::SocketAddr, err: io::Error) -> Error {
    let Some(tls) = err
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
    else {
        let what = format!("shaking hands with {host} at {remote} for TLS");
        let cause = cause_of(&err);
        return match cause {
            // A peer that hangs up at our hello most often doesn't speak TLS, or not ours.
            Cause::Closed => Error::new(
                Cause::Tls,
                Phase::Connect,
                format!("the connection was closed while {what}: {err}"),
            )
            .with_source(err),
            _ => Error::io(Phase::Connect, &what, err),
        };
    };
    let advice = match tls {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "; if it is signed by an authority of your own, add it with `root_certificate`"
        }
        rustls::Error::InvalidMessage(_) => "; does this port speak https?",
        _ => "",
    };
    let message = format!("TLS with {host} at {remote} failed: {tls}{advice}");
    Error::new(Cause::Tls, Phase::Connect, message).with_source(err)
}
