//! monoio, glommio and compio: one thread, one io_uring, futures that own their buffers.
//!
//! Each is set up as its documentation has it: monoio as `#[monoio::main]` does it, glommio
//! with a default executor, and compio with the two ring flags that it recommends for its one
//! thread. Buffers go into a read and come back out of it; the same one serves for the life of
//! a connection, and is as large as everybody's.

use std::io;
use std::sync::mpsc;

use super::ECHO_BUFFER_BYTES;

/// Runs a server on a thread of its own; `serve` is to send its port.
fn on_thread(
    serve: impl FnOnce(&mpsc::Sender<u16>) -> io::Result<()> + Send + 'static,
) -> io::Result<u16> {
    let (ports, port) = mpsc::channel();
    let server = std::thread::Builder::new().spawn(move || serve(&ports))?;
    // A server that fails drops its sender.
    port.recv().map_err(|_| match server.join() {
        Ok(Err(error)) => error,
        _ => io::Error::other("the server ended"),
    })
}

/// monoio.
pub(super) mod with_monoio {
    use super::*;
    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
    use monoio::net::{TcpListener, TcpStream};

    /// Serves an echo with a task for each connection.
    pub(in super::super) fn serve_echo() -> io::Result<u16> {
        on_thread(|ports| {
            let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                // The receiver waits for this.
                let _ = ports.send(listener.local_addr()?.port());
                while let Ok((stream, _)) = listener.accept().await {
                    monoio::spawn(echo(stream));
                }
                Ok(())
            })
        })
    }

    /// A peer that goes away ends its task, whatever way it went.
    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(ECHO_BUFFER_BYTES);
        loop {
            let (read, filled) = stream.read(buffer).await;
            if read? == 0 {
                return Ok(());
            }
            let (written, emptied) = stream.write_all(filled).await;
            written?;
            buffer = emptied;
            buffer.clear();
        }
    }
}

/// glommio.
pub(super) mod with_glommio {
    use super::*;
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    use glommio::net::{TcpListener, TcpStream};
    use glommio::{LocalExecutorBuilder, Placement};

    /// Serves an echo with a task for each connection.
    pub(in super::super) fn serve_echo() -> io::Result<u16> {
        on_thread(|ports| {
            let executor = LocalExecutorBuilder::new(Placement::Unbound).make()?;
            executor.run(async {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                // The receiver waits for this.
                let _ = ports.send(listener.local_addr()?.port());
                while let Ok(stream) = listener.accept().await {
                    glommio::spawn_local(echo(stream)).detach();
                }
                Ok(())
            })
        })
    }

    /// A peer that goes away ends its task, whatever way it went.
    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = [0; ECHO_BUFFER_BYTES];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                length => stream.write_all(&buffer[..length]).await?,
            }
        }
    }
}

/// compio.
pub(super) mod with_compio {
    use super::*;
    use compio::driver::ProactorBuilder;
    use compio::io::{AsyncRead, AsyncWriteExt};
    use compio::net::{TcpListener, TcpStream};

    /// Serves an echo with a task for each connection.
    pub(in super::super) fn serve_echo() -> io::Result<u16> {
        on_thread(|ports| {
            let mut ring = ProactorBuilder::new();
            ring.single_issuer(true)
                .coop_taskrun(true)
                .taskrun_flag(true);
            let runtime = compio::runtime::Runtime::builder()
                .with_proactor(ring)
                .build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                // The receiver waits for this.
                let _ = ports.send(listener.local_addr()?.port());
                while let Ok((stream, _)) = listener.accept().await {
                    compio::runtime::spawn(echo(stream)).detach();
                }
                Ok(())
            })
        })
    }

    /// A peer that goes away ends its task, whatever way it went.
    async fn echo(mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(ECHO_BUFFER_BYTES);
        loop {
            let read = stream.read(buffer).await;
            if read.0? == 0 {
                return Ok(());
            }
            let written = stream.write_all(read.1).await;
            written.0?;
            buffer = written.1;
            buffer.clear();
        }
    }
}
