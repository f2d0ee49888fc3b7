// One HTTP/1.1 connection: answers GET requests one after the other, until one of them asks to become a WebSocket. The
// network's thread only.
#pragma once

#include <memory>
#include <optional>

#include "subscribers/realtime/http_routes.hpp"
#include "subscribers/realtime/hub.hpp"
#include "subscribers/realtime/net.hpp"
#include "subscribers/realtime/subscription.hpp"

namespace millrace::gateway {

class HttpConnection final : public Connection {
 public:
  HttpConnection(Hub& hub, Socket socket);
  void start();

  void tick(MonotonicTime now) override;
  void say_goodbye() override { drop(); }
  void drop() override;
  ~HttpConnection() override;

 private:
  using Request = http::request<http::string_body>;

  void read();
  void on_read(beast::error_code failed);
  void upgrade(Request request);
  void read_log(const EventsQuery& query);
  // A range of events: reads and writes take turns, a message's worth at a time.
  struct Stream;
  void stream(EventsRange range);
  void read_on();
  void take_chunk(Result<ReplayChunk> chunk, std::optional<Offset> end);
  void write_chunk();
  void end_stream();
  [[nodiscard]] bool writes_stream() const;
  [[nodiscard]] bool is_broken();
  void send(HttpAnswer answer, bool keep_alive);
  [[nodiscard]] std::shared_ptr<HttpConnection> self() {
    return std::static_pointer_cast<HttpConnection>(shared_from_this());
  }

  Hub& hub_;
  Socket socket_;
  bool gone_ = false;
  MonotonicTime deadline_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::unique_ptr<Stream> stream_;  // while one is under way
  bool head_only_ = false;
  bool keep_alive_ = false;
};

}  // namespace millrace::gateway
