// A range of events over HTTP: chunked, read from the log as fast as the client takes it. Nothing is kept but the
// message that is being written, and the next is read once that is gone. Where the log ends badly the body's last line
// says why, and the connection is closed before the body is at its end: no client can take it for whole.
#include <poll.h>

#include <cstdio>

#include "schemas/json_text.hpp"
#include "subscribers/realtime/http_connection.hpp"

namespace millrace::gateway {

namespace {

using protocol::Encoding;
using protocol::ErrorName;

std::string_view content_type(Encoding encoding) {
  switch (encoding) {
    case Encoding::lines:
      return "application/x-ndjson";
    case Encoding::csv:
      return "text/csv; charset=utf-8";
    default:
      return "application/octet-stream";
  }
}

HttpAnswer refusal(const Error& error) {
  const auto told = protocol::from_error(error);
  switch (told.name) {
    case ErrorName::offset_deleted:
      return http_error(410, told.name, told.message);
    case ErrorName::offset_ahead:
      return http_error(416, told.name, told.message);
    case ErrorName::replay_failed:
      return http_error(500, told.name, told.message);
    default:
      return http_error(400, told.name, told.message);
  }
}

std::string csv_names(const schemas::FlatType& columns) {
  std::vector<std::string> own;
  for (const schemas::FlatColumn& column : columns.columns()) own.push_back(column.name);
  std::string out;
  for (const char* const name : schemas::place_names) out += schemas::place_name(name, own) + ',';
  columns.append_csv_names(out);
  out += '\n';
  return out;
}

// The body's last line. Binary has none.
std::string last_line(Encoding encoding, const protocol::RequestError& error, Offset next) {
  const std::string offset = std::to_string(next.value());
  std::string out;
  if (encoding == Encoding::lines) {
    out = R"({"type":"error","code":")" + std::string(protocol::to_string(error.name)) + R"(","next_offset":)" +
          offset + R"(,"message":)";
    schemas::append_json_string(error.message, out);
    out += "}\n";
  } else if (encoding == Encoding::csv) {
    out = "#error," + std::string(protocol::to_string(error.name)) + ',' + offset + ',';
    schemas::append_csv_text(error.message, out);
    out += '\n';
  }
  return out;
}

// Finds where a time ends the range, before its first read. None: it is an offset.
Result<std::optional<Offset>> find_end(EventSource& source, const EventsRange& range) {
  if (!range.to) return std::nullopt;
  auto at = source.replay(range.topic, *range.to, range.view.level);
  if (!at) return fail(std::move(at).error());
  return std::min(range.end, (*at)->next());
}

}  // namespace

struct HttpConnection::Stream {
  Stream(Hub& of, EventsRange wanted) : hub(of), range(std::move(wanted)) { ++hub.http_streams; }
  ~Stream() { --hub.http_streams; }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Hub& hub;
  EventsRange range;
  std::shared_ptr<LogPlace> log;
  std::shared_ptr<Body> body;  // being written
  std::optional<Run> run;      // that the log was in when it was read first
  Offset next;
  bool begun = false;  // the header is written
  bool reading = false;
  bool writing = false;
  bool last = false;    // nothing follows what is being written
  bool broken = false;  // and the connection ends with it
  std::string head;     // of the chunk: whatever stands before the events
  std::string tail;
};

HttpConnection::HttpConnection(Hub& hub, Socket socket) : hub_(hub), socket_(std::move(socket)) {}
HttpConnection::~HttpConnection() = default;

bool HttpConnection::writes_stream() const {
  return stream_->writing;
}

// Without a write nothing else would tell. A client that only closed its own direction may still wait for the rest: to
// lose such a one is worse than to read a log for nobody, so that this is told by a reset alone.
bool HttpConnection::is_broken() {
  pollfd socket{socket_.native_handle(), 0, 0};
  return ::poll(&socket, 1, 0) > 0 && (socket.revents & (POLLERR | POLLHUP)) != 0;
}

void HttpConnection::stream(EventsRange range) {
  if (hub_.http_streams >= hub_.options.http_streams_max) {
    return send(http_error(503, ErrorName::replay_failed, "too many ranges of events are being read; try again"),
                keep_alive_);
  }
  hub_.counters.add(Counter::http_streams);
  stream_ = std::make_unique<Stream>(hub_, std::move(range));
  read_on();
}

void HttpConnection::read_on() {
  if (stream_->reading || hub_.stopping) return;
  ReplayRead work;
  work.slot = hub_.take_replay_slot();
  if (!work.slot) {
    if (stream_->begun) return;  // the next tick asks again
    stream_.reset();
    return send(http_error(503, ErrorName::replay_failed, "too many reads of the log; try again"), keep_alive_);
  }
  const EventsRange& range = stream_->range;
  work.topic = range.topic;
  work.start = range.from;
  work.log = std::move(stream_->log);
  work.view = range.view;
  work.type = hub_.topics[range.topic].info.type;
  work.limit.bytes = hub_.options.message_size_max;
  work.limit.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(range.count, UINT32_MAX));
  work.limit.end = range.end;
  stream_->reading = true;
  asio::post(hub_.replay_threads, [self = self(), range, work = std::move(work)]() mutable {
    EventSource& source = self->hub_.source;
    Result<ReplayChunk> chunk = ReplayChunk{};
    auto end = find_end(source, range);
    if (end) {
      if (*end) work.limit.end = **end;
      chunk = gateway::read_log(source, self->hub_.counters, std::move(work));
    } else {
      chunk = fail(std::move(end).error());
    }
    asio::io_context& io = self->hub_.io;
    asio::post(io, [self = std::move(self), chunk = std::move(chunk), end = end ? *end : std::nullopt]() mutable {
      if (!self->gone_) self->take_chunk(std::move(chunk), end);
    });
  });
}

void HttpConnection::take_chunk(Result<ReplayChunk> chunk, std::optional<Offset> end) {
  Stream& stream = *stream_;
  EventsRange& range = stream.range;
  stream.reading = false;
  if (end) {
    range.end = *end;
    range.to.reset();
  }
  std::optional<Error> failed;
  if (!chunk) {
    failed = chunk.error();
  } else {
    const Offset first = chunk->body->first;
    const RunBegin run = chunk->log->replay->run();
    if (!stream.run) stream.run = run.run;
    if (!stream.begun && first > range.end && !range.end_asked) {
      range.end = first;  // a time that the log has come to, but memory, as it was asked, had not: there is nothing
    }
    if (!stream.begun && first > range.end) {
      failed = {ErrorCode::invalid_argument, ""};
    } else if (run.run > *stream.run && run.offset < stream.next && stream.begun) {
      failed = {ErrorCode::rolled_back, "what lies behind offset " + std::to_string(run.offset.value()) +
                                            " was taken back, and is given out again"};
    } else if (chunk->complete && chunk->body->next == first && first < range.end) {
      failed = {ErrorCode::rolled_back, "the log ends at offset " + std::to_string(first.value())};
    }
  }
  if (failed && !stream.begun) {
    const bool reversed = chunk.has_value() && failed->code == ErrorCode::invalid_argument;
    HttpAnswer answer = reversed ? http_error(400, ErrorName::bad_range,
                                              "the range is reversed: it begins at offset " +
                                                  std::to_string(chunk->body->first.value()) + " and ends before " +
                                                  std::to_string(range.end.value()))
                                 : refusal(*failed);
    stream_.reset();
    return send(std::move(answer), keep_alive_);
  }
  if (failed) {
    hub_.counters.add(Counter::http_streams_cut);
    stream.tail = last_line(range.view.encoding, protocol::from_error(*failed), stream.next);
    stream.last = stream.broken = true;
    return write_chunk();
  }
  stream.log = std::move(chunk->log);
  stream.body = std::move(chunk->body);
  stream.next = stream.body->next;
  range.count -= std::min<std::uint64_t>(range.count, stream.body->count);
  stream.last = stream.next >= range.end || range.count == 0;
  if (range.view.encoding == Encoding::binary && (stream.body->count > 0 || stream.last)) {
    const auto header =
        protocol::binary_header(0, stream.body->first, stream.body->next, stream.body->count, hub_.clock.wall());
    stream.head.assign(header.data(), header.size());
  }
  write_chunk();
}

// The answer's header before the first, what is gathered, and the end behind the last.
void HttpConnection::write_chunk() {
  Stream& stream = *stream_;
  std::string before;
  if (!stream.begun) {
    before = "HTTP/1.1 200 OK\r\nServer: millrace-gateway\r\nContent-Type: " +
             std::string(content_type(stream.range.view.encoding)) +
             "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nTransfer-Encoding: chunked\r\n" +
             (keep_alive_ && !hub_.stopping ? "" : "Connection: close\r\n") + "\r\n";
    if (stream.range.view.encoding == Encoding::csv) stream.head = csv_names(*stream.range.view.columns);
    stream.begun = true;
  }
  if (head_only_) {
    stream.last = true;
    stream.head.clear();
    stream.body.reset();
  }
  const std::size_t size = stream.head.size() + (stream.body ? stream.body->bytes.size() : 0) + stream.tail.size();
  std::string after = stream.tail;
  if (size > 0) {
    char digits[20];
    std::snprintf(digits, sizeof digits, "%zx\r\n", size);
    before += digits;
    after += "\r\n";
  }
  if (stream.last && !stream.broken && !head_only_) after += "0\r\n\r\n";
  stream.head = before + stream.head;
  stream.tail = std::move(after);
  if (stream.head.empty() && stream.tail.empty()) {
    if (stream.last) return end_stream();  // a binary one that is broken: it has no last line
    stream.body.reset();
    if (is_broken()) return drop();
    return read_on();  // nothing passed the filter
  }
  stream.writing = true;
  deadline_ = hub_.clock.monotonic() + hub_.options.write_timeout;
  const std::array<asio::const_buffer, 3> buffers = {
      asio::buffer(stream.head), stream.body ? asio::buffer(stream.body->bytes) : asio::const_buffer(),
      asio::buffer(stream.tail)};
  asio::async_write(socket_, buffers, [self = self()](beast::error_code failed, std::size_t) {
    if (self->gone_) return;
    if (failed) return self->drop();
    Stream& written = *self->stream_;
    written.writing = false;
    written.body.reset();
    written.head.clear();
    written.tail.clear();
    if (written.last) return self->end_stream();
    self->read_on();
  });
}

void HttpConnection::end_stream() {
  const bool stay = keep_alive_ && !stream_->broken && !hub_.stopping;
  stream_.reset();
  if (stay) return read();
  beast::error_code ignored;
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  drop();
}

}  // namespace millrace::gateway
