//! Closing a connection without losing the answer.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

const LINGER: Duration = Duration::from_secs(1);
/// A client that takes nothing for so long is gone, or means harm.
const STALL: Duration = Duration::from_secs(30);

/// A connection that, once the server is done with it, goes on reading for a moment and throws away what comes.
///
/// A refusal is sent before the body has been read. Closing at once would have the kernel reset the connection, since there are
/// unread bytes, and a reset can overtake the refusal: the client would see a broken connection instead.
pub(crate) struct Lingering {
    stream: TcpStream,
    until: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
    writing: Arc<Writing>,
    /// Goes along when the connection becomes a WebSocket.
    _slot: OwnedSemaphorePermit,
}

/// How writing to a connection goes, for those who do not write themselves.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    is_blocked: AtomicBool,
    is_cut: AtomicBool,
}

impl Writing {
    /// Has the connection reset when it is dropped, if the client does not take what is written. Says whether that is so.
    pub(crate) fn cut_if_blocked(&self) -> bool {
        let blocked = self.is_blocked.load(Ordering::Relaxed);
        self.is_cut.store(blocked, Ordering::Relaxed);
        blocked
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.writing.is_cut.load(Ordering::Relaxed) {
            // Else the system would go on trying to deliver what was written.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl Lingering {
    pub(crate) fn new(stream: TcpStream, slot: OwnedSemaphorePermit, writing: Arc<Writing>) -> Self {
        Self {
            stream,
            until: None,
            stalled: None,
            writing,
            _slot: slot,
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// The outcome of a write, or an error once none has had one for too long.
    fn or_stalled<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        self.writing
            .is_blocked
            .store(written.is_pending(), Ordering::Relaxed);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.or_stalled(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.or_stalled(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.until.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut unwanted = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut unwanted);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return until.as_mut().poll(context).map(Ok),
            }
        }
    }
}
