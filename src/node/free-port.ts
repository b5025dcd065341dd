// A port that nobody listens on now: for a member whose door's port was left to chance, because what it tells the others
// of itself must be known before the door is open.

import { createServer, type AddressInfo } from "node:net";

/** Somebody else may take it before it is used: then the start fails as for any taken port. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
