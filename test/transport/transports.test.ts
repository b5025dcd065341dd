import { MemoryNetwork } from "../../src/transport/memory-network.ts";
import { systemWorld } from "../../src/world.ts";
import { type Fixture, transportSuite } from "./conformance.ts";
import { http2Fixture } from "./http2-nodes.ts";
import { Recorder } from "./recorder.ts";

transportSuite("memory", memoryFixture);
transportSuite("HTTP/2", http2Fixture);

function memoryFixture(): Fixture {
  const network = new MemoryNetwork(systemWorld);
  return {
    async start(nodeId) {
      const transport = network.transport(nodeId);
      const told = new Recorder();
      await transport.open(told);
      return { nodeId, transport, told };
    },
    kill: ({ nodeId }) => Promise.resolve(network.kill(nodeId)),
    end: () => Promise.resolve(),
  };
}
