// A blocking WebSocket client, and a blocking HTTP request, for tests and tools.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::gateway::client {

class WsClient {
 public:
  struct Options {
    int receive_buffer = 0;  // SO_RCVBUF; 0: the system's
    std::string origin;
  };
  // Connects and shakes hands; connected() tells whether that went well, else status() is the HTTP answer's.
  explicit WsClient(std::uint16_t port) : WsClient(port, Options()) {}
  WsClient(std::uint16_t port, const Options& options);
  ~WsClient();
  WsClient(WsClient&&) noexcept;

  [[nodiscard]] bool connected() const;
  [[nodiscard]] unsigned status() const;

  void send(std::string_view text);
  void send_binary(std::string_view bytes);
  void send_raw(std::string_view bytes);  // past the WebSocket layer
  // The next message, or nullopt once the connection is closed; then close_code() says how, 0 if without a word.
  [[nodiscard]] std::optional<std::string> receive();
  [[nodiscard]] bool last_was_binary() const;
  [[nodiscard]] std::uint16_t close_code() const;
  [[nodiscard]] std::string close_reason() const;
  void close();
  void reset();  // without a word

  // The next message of that type, as JSON; others are passed over. A null if the connection closed.
  [[nodiscard]] boost::json::value receive_type(std::string_view type);
  // Likewise, where only its coming matters.
  void expect(std::string_view type);
  // The next `count` events of any subscription (or more, if the last message had more).
  [[nodiscard]] std::vector<boost::json::value> receive_events(std::size_t count);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct HttpReply {
  unsigned status = 0;  // 0: closed without an answer
  std::string body;
  std::string content_type;
};
[[nodiscard]] HttpReply http_request(std::uint16_t port, std::string_view method, std::string_view target);
// Sends bytes as they are, reads one answer.
[[nodiscard]] HttpReply http_raw(std::uint16_t port, std::string_view bytes);

}  // namespace millrace::gateway::client
