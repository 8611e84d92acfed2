//! A SOCKS5 proxy between one browser and the server that can lose the network silently: while it
//! stalls, connections stay open and new ones are accepted, but nothing passes, not even an end.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const VERSION = 5;
const SUCCEEDED = Buffer.from([VERSION, 0, 0, 1, 0, 0, 0, 0, 0, 0]);

export class Proxy {
  #server;
  #port;
  #sockets = new Set();
  #stalled = false;

  /** Starts a proxy on a free port. Whatever address a browser asks for, it connects to `port`. */
  static async start(port) {
    const proxy = new Proxy();
    proxy.#port = port;
    proxy.#server = createServer((client) => proxy.#accept(client)).listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** The options of a browser context that uses this proxy, also for the loopback address. */
  get options() {
    return { proxy: { server: `socks5://127.0.0.1:${this.#server.address().port}`, bypass: '<-loopback>' } };
  }

  /** Forwards nothing until `resume`. A paused socket does not even notice that its peer closed. */
  stall() {
    this.#stalled = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Forwards everything again, also what waited. */
  resume() {
    this.#stalled = false;
    for (const socket of this.#sockets) socket.resume();
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #accept(client) {
    this.#track(client);
    client.once('data', () => {
      client.write(Buffer.from([VERSION, 0])); // no password
      client.once('data', () => {
        const upstream = connect(this.#port, '127.0.0.1');
        this.#track(upstream);
        client.write(SUCCEEDED);
        this.#forward(client, upstream);
        this.#forward(upstream, client);
      });
    });
  }

  #track(socket) {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.#stalled) socket.pause();
  }

  #forward(from, to) {
    from.on('data', (bytes) => to.write(bytes));
    from.on('close', () => to.destroy());
    from.on('end', () => to.end());
    if (this.#stalled) from.pause(); // a listener for data starts the flow
  }
}
