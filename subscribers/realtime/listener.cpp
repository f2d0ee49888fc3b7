#include "subscribers/realtime/listener.hpp"

#include "subscribers/realtime/http_connection.hpp"

namespace millrace::gateway {

Status Listener::open() {
  const GatewayOptions& options = hub_.options;
  const std::string where = options.address + ":" + std::to_string(options.port);
  beast::error_code failed;
  const auto address = asio::ip::make_address(options.address, failed);
  if (failed) return fail(ErrorCode::invalid_argument, "'" + options.address + "' is not an IP address to listen on");
  const asio::ip::tcp::endpoint endpoint(address, options.port);
  acceptor_.open(endpoint.protocol(), failed);
  if (!failed) acceptor_.set_option(asio::socket_base::reuse_address(true), failed);
  if (!failed) acceptor_.bind(endpoint, failed);
  if (!failed) acceptor_.listen(asio::socket_base::max_listen_connections, failed);
  if (failed) return fail(ErrorCode::in_use, "cannot listen on " + where + ": " + failed.message());
  port_ = acceptor_.local_endpoint().port();
  accept();
  return {};
}

void Listener::accept() {
  if (accepting_ || !acceptor_.is_open()) return;
  accepting_ = true;
  acceptor_.async_accept([this](beast::error_code failed, Socket socket) {
    accepting_ = false;
    // Out of descriptors or memory: the next tick tries again, so that this loop does not spin.
    if (hub_.stopping || (failed && failed != asio::error::connection_aborted)) return;
    if (!failed) {
      const std::size_t http = hub_.connections.size() - std::min(hub_.connections.size(), hub_.sessions);
      if (http >= hub_.options.http_connections_max) {
        hub_.counters.add(Counter::connections_shed);  // the socket closes here
      } else {
        beast::error_code ignored;
        socket.set_option(asio::ip::tcp::no_delay(true), ignored);
        socket.set_option(asio::socket_base::keep_alive(true), ignored);
        if (hub_.options.send_buffer > 0) {
          socket.set_option(asio::socket_base::send_buffer_size(hub_.options.send_buffer), ignored);
        }
        std::make_shared<HttpConnection>(hub_, std::move(socket))->start();
      }
    }
    accept();
  });
}

void Listener::close() {
  beast::error_code ignored;
  acceptor_.close(ignored);
}

}  // namespace millrace::gateway
