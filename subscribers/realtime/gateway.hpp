// The gateway: takes events from a source and serves them to WebSocket and HTTP clients, as PROTOCOL.md says.
#pragma once

#include <cstdint>
#include <memory>

#include "bus/base/clock.hpp"
#include "bus/base/result.hpp"
#include "subscribers/realtime/counters.hpp"
#include "subscribers/realtime/event_source.hpp"
#include "subscribers/realtime/options.hpp"

namespace millrace::gateway {

// Three kinds of thread: the feeder's asks the source, the network's serves all clients, the replay threads read logs.
class Gateway {
 public:
  // `source` and `clock` outlive it.
  Gateway(EventSource& source, GatewayOptions options, const Clock& clock = system_clock());
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Listens and starts the threads. Errors: the address is taken or none of this host. Once.
  [[nodiscard]] Status start();
  // Says goodbye to the clients, for at most a second, and ends the threads. Again is harmless.
  void stop();

  [[nodiscard]] std::uint16_t port() const;  // after start()
  // Any thread.
  [[nodiscard]] std::uint64_t count(Counter counter) const;

 private:
  class Impl;  // keeps Beast out of this header
  std::unique_ptr<Impl> impl_;
};

// Lets the process have as many descriptors as the system grants it: each client takes one.
void raise_descriptor_limit();

}  // namespace millrace::gateway
