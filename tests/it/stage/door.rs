//! Doors before the simulator's servers: while one is shut, its address refuses connections, as a machine does on which
//! nothing runs; while it is open, everything passes.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// All doors of a stage.
pub struct Doors {
    addresses: Vec<(SocketAddr, SocketAddr)>,
    state: watch::Sender<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Shut,
    Open,
    Gone,
}

impl Doors {
    /// Shut doors that lead to these servers.
    pub fn shut(servers: impl Iterator<Item = SocketAddr>) -> Self {
        let (state, _) = watch::channel(State::Shut);
        let (send, addresses) = std::sync::mpsc::channel();
        let servers: Vec<SocketAddr> = servers.collect();
        let count = servers.len();
        let watched = state.subscribe();
        let thread = super::spawn("doors", move || async move {
            let mut doors = JoinSet::new();
            for to in servers {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                // A port that is bound and not listened on is ours, and refuses connections.
                let held = hold(any);
                let address = held.local_addr().expect("it's bound");
                send.send((to, address)).expect("the stage waits for it");
                doors.spawn(door(address, held, to, watched.clone()));
            }
            while let Some(done) = doors.join_next().await {
                done.expect("a door does not panic");
            }
        });
        let addresses = addresses.iter().take(count).collect();
        Self { addresses, state, thread: Some(thread) }
    }

    /// Each server's address with that of the door before it.
    pub fn addresses(&self) -> &[(SocketAddr, SocketAddr)] {
        &self.addresses
    }

    /// Lets everybody pass.
    pub fn open_all(&self) {
        self.state.send_replace(State::Open);
    }

    /// Shuts the doors; connections through them break.
    pub fn shut_all(&self) {
        self.state.send_replace(State::Shut);
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.state.send_replace(State::Gone);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "a door panicked");
    }
}

fn hold(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("there are descriptors for a socket");
    // Connections that have just ended would else keep the port for a minute.
    socket.set_reuseaddr(true).expect("every system knows this option");
    socket.bind(address).expect("loopback has free ports");
    socket
}

async fn door(address: SocketAddr, mut held: TcpSocket, to: SocketAddr, mut state: watch::Receiver<State>) {
    loop {
        if *state.wait_for(|state| *state != State::Shut).await.expect("the doors outlive this")
            == State::Gone
        {
            return;
        }
        let listener = held.listen(64).expect("the port is ours");
        tokio::select! {
            () = pass(&listener, to) => {}
            _ = state.wait_for(|state| *state != State::Open) => {}
        }
        drop(listener);
        held = hold(address);
    }
}

/// Carries connections; those under way break when it is dropped.
async fn pass(listener: &TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut client, _)) = listener.accept().await else { return };
        connections.spawn(async move {
            if let Ok(mut server) = TcpStream::connect(to).await {
                // An end is an end, whoever brings it about.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
