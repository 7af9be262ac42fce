//! Connections that the server opens itself, with one TLS for all of them.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Result};

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens them.
pub(super) struct Dial {
    tls: TlsConnector,
}

impl Dial {
    /// One that trusts what browsers trust, and these certificates in PEM.
    pub(super) fn new(roots: &[Vec<u8>]) -> Result<Self> {
        let mut trusted = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in roots.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem)) {
            trusted.add(certificate.map_err(Error::internal)?).map_err(Error::internal)?;
        }
        // Named, so that it does not matter which other ones are built into the program.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A connection to a host, which is written without brackets.
    pub(super) async fn connect(&self, host: &str, port: u16, is_secure: bool) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((host, port)).await?;
        if !is_secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|cause| io::Error::new(io::ErrorKind::InvalidInput, cause))?;
        Ok(Box::new(self.tls.connect(name, stream).await?))
    }
}
