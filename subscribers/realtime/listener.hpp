// Accepts connections and hands each to an HttpConnection. The network's thread only.
#pragma once

#include <cstdint>

#include "bus/base/result.hpp"
#include "subscribers/realtime/hub.hpp"
#include "subscribers/realtime/net.hpp"

namespace millrace::gateway {

class Listener {
 public:
  explicit Listener(Hub& hub) : hub_(hub), acceptor_(hub.io) {}

  [[nodiscard]] Status open();  // binds, listens and begins to accept
  // Begins to accept again, if it does not: after the process had no descriptor left.
  void accept();
  void close();
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  Hub& hub_;
  Acceptor acceptor_;
  std::uint16_t port_ = 0;
  bool accepting_ = false;
};

}  // namespace millrace::gateway
