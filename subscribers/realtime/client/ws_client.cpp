#include "subscribers/realtime/client/ws_client.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>

#include "bus/base/assert.hpp"
#include "subscribers/realtime/net.hpp"

namespace millrace::gateway::client {

struct WsClient::Impl {
  asio::io_context io;
  websocket::stream<Socket> socket{io};
  bool connected = false;
  unsigned status = 0;
};

namespace {
asio::ip::tcp::endpoint loopback(std::uint16_t port) {
  return {asio::ip::address_v4::loopback(), port};
}
}  // namespace

WsClient::WsClient(std::uint16_t port, const Options& options) : impl_(std::make_unique<Impl>()) {
  beast::error_code failed;
  Socket& tcp = impl_->socket.next_layer();
  tcp.open(asio::ip::tcp::v4(), failed);
  if (options.receive_buffer > 0) {
    tcp.set_option(asio::socket_base::receive_buffer_size(options.receive_buffer), failed);
  }
  tcp.connect(loopback(port), failed);
  if (failed) return;
  if (!options.origin.empty()) {
    impl_->socket.set_option(websocket::stream_base::decorator(
        [origin = options.origin](websocket::request_type& request) { request.set(http::field::origin, origin); }));
  }
  impl_->socket.read_message_max(64 << 20);
  websocket::response_type response;
  impl_->socket.handshake(response, "127.0.0.1:" + std::to_string(port), "/v1/ws", failed);
  impl_->connected = !failed;
  impl_->status = response.result_int();
}
WsClient::~WsClient() = default;
WsClient::WsClient(WsClient&&) noexcept = default;

bool WsClient::connected() const {
  return impl_->connected;
}
unsigned WsClient::status() const {
  return impl_->status;
}

void WsClient::send(std::string_view text) {
  beast::error_code ignored;
  impl_->socket.binary(false);
  impl_->socket.write(asio::buffer(text), ignored);
}

void WsClient::send_binary(std::string_view bytes) {
  beast::error_code ignored;
  impl_->socket.binary(true);
  impl_->socket.write(asio::buffer(bytes), ignored);
}

void WsClient::send_raw(std::string_view bytes) {
  beast::error_code ignored;
  asio::write(impl_->socket.next_layer(), asio::buffer(bytes), ignored);
}

std::optional<std::string> WsClient::receive() {
  beast::flat_buffer buffer;
  beast::error_code failed;
  impl_->socket.read(buffer, failed);
  if (failed) return std::nullopt;
  return beast::buffers_to_string(buffer.data());
}

bool WsClient::last_was_binary() const {
  return impl_->socket.got_binary();
}
std::uint16_t WsClient::close_code() const {
  return impl_->socket.reason().code;
}
std::string WsClient::close_reason() const {
  const auto& reason = impl_->socket.reason().reason;
  return {reason.data(), reason.size()};
}

void WsClient::close() {
  beast::error_code ignored;
  impl_->socket.close(websocket::close_code::normal, ignored);
}

void WsClient::reset() {
  beast::error_code ignored;
  impl_->socket.next_layer().close(ignored);
}

boost::json::value WsClient::receive_type(std::string_view type) {
  while (const auto message = receive()) {
    auto value = boost::json::parse(*message);
    if (value.at("type").as_string() == boost::json::string_view(type.data(), type.size())) return value;
  }
  return nullptr;
}

void WsClient::expect(std::string_view type) {
  MILLRACE_ASSERT(!receive_type(type).is_null(), "the awaited message comes");
}

std::vector<boost::json::value> WsClient::receive_events(std::size_t count) {
  std::vector<boost::json::value> events;
  while (events.size() < count) {
    const auto message = receive_type("events");
    if (message.is_null()) break;
    for (const auto& event : message.at("events").as_array()) events.push_back(event);
  }
  return events;
}

HttpReply http_raw(std::uint16_t port, std::string_view bytes) {
  asio::io_context io;
  Socket socket(io);
  beast::error_code failed;
  socket.connect(loopback(port), failed);
  asio::write(socket, asio::buffer(bytes), failed);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(64 << 20);
  if (bytes.starts_with("HEAD")) parser.skip(true);
  http::read(socket, buffer, parser, failed);
  if (failed) return {};
  const auto type = parser.get()[http::field::content_type];
  return {parser.get().result_int(), parser.get().body(), std::string(type.data(), type.size())};
}

HttpReply http_request(std::uint16_t port, std::string_view method, std::string_view target) {
  return http_raw(port, std::string(method) + " " + std::string(target) +
                            " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
}

}  // namespace millrace::gateway::client
