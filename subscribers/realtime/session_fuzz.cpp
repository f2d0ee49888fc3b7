// A connection's bytes are a door: whatever a client sends, as HTTP and, after an upgrade, as WebSocket frames, what it
// gets is HTTP and frames of valid form, the connection comes to an end, nothing of it stays, and the next client is
// served. All of it on the gateway's own connections over Beast's parsers; a socket pair is the network.
//
// Input: a byte of options, then, with bit 0 clear, the bytes as they come from the socket. With bit 0 set the
// connection is upgraded first and the rest describes frames: the frame's first byte as it is, a byte of flags (below),
// then what the flags ask for. Bit 1: the client does not read before it has sent everything; bit 2: it hangs up then,
// instead of closing its side; bit 3: raw bytes come in pieces of 7; bit 4: before its end it is silent for two
// minutes.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <future>
#include <string>
#include <string_view>

#include "bus/base/assert.hpp"
#include "subscribers/realtime/feeder.hpp"
#include "subscribers/realtime/http_connection.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace {

using namespace millrace;
using namespace millrace::gateway;

constexpr std::string_view upgrade =
    "GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

// Payloads that a fuzzer would not find by itself.
constexpr std::array<std::string_view, 14> requests = {
    R"({"op":"ping","id":"p"})",
    R"({"op":"subscribe","id":1,"topic":"trade_events"})",
    R"({"op":"subscribe","topic":"trade_events","start":"earliest","filter":{"instrument":"A"},"format":"binary"})",
    R"({"op":"subscribe","topic":"trade_events","start":{"offset":7},"slow":{"policy":"conflate","queue":1}})",
    R"({"op":"subscribe","topic":"market_l2","start":"earliest"})",
    R"({"op":"books","subscription":1})",
    R"({"op":"unsubscribe","id":2,"subscription":1})",
    "\x03\xe8goodbye",  // of a close frame
    R"({"op":"subscribe","topic":"trade_events","start":{"offset":30},"mode":"batched","batch":{"age_ms":500,"count":4}})",
    R"({"op":"ack","subscription":1,"next_offset":3})",
    R"({"op":"replay","topics":["trade_events","market_l2"],"speed":10,"follow":true})",
    R"({"op":"replay","topics":["trade_events"],"from":{"offset":5},"to":{"offset":9},"paused":true})",
    R"({"op":"step","subscription":1,"count":2})",
    R"({"op":"seek","subscription":1,"to":{"time":1700000000010000000}})",
};

// Flags of a frame.
constexpr unsigned not_masked = 1;
constexpr unsigned length_form = 2;    // times 0: shortest, 1: 16 bits, 2: 64 bits, 3: the next 8 bytes, as 64 bits
constexpr unsigned known_request = 8;  // the payload is requests[next byte]; else the next byte counts its bytes
constexpr unsigned delivered = 16;     // before the next one is sent
constexpr unsigned time_passes = 32;   // 1 s, after it was delivered
constexpr unsigned payload_cut = 64;   // half of it is sent

class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  unsigned byte() { return bytes_.empty() ? 0u : static_cast<unsigned char>(take(1)[0]); }
  std::string_view take(std::size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view bytes_;
};

void append_number(std::uint64_t value, int bytes, std::string& out) {
  for (int i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i) & 0xff);
}

// The frame that the input describes next.
std::string frame(Input& input, unsigned& flags) {
  std::string out(1, static_cast<char>(input.byte()));
  flags = input.byte();
  const unsigned form = flags / length_form % 4;
  const std::string_view lie = form == 3 ? input.take(8) : std::string_view();
  const unsigned number = input.byte();
  const std::string_view payload =
      (flags & known_request) != 0 ? requests[number % requests.size()] : input.take(number);
  const unsigned mask_bit = (flags & not_masked) != 0 ? 0 : 0x80;
  if (form == 0 && payload.size() < 126) {
    append_number(mask_bit | payload.size(), 1, out);
  } else if (form < 2) {
    append_number(mask_bit | 126, 1, out);
    append_number(payload.size(), 2, out);
  } else {
    append_number(mask_bit | 127, 1, out);
    if (form == 2) append_number(payload.size(), 8, out);
    out += lie;
  }
  constexpr std::string_view mask = "\x5a\x01\xff\x80";
  if (mask_bit != 0) out += mask;
  const std::size_t sent = (flags & payload_cut) != 0 ? payload.size() / 2 : payload.size();
  for (std::size_t i = 0; i < sent; ++i) out += static_cast<char>(payload[i] ^ (mask_bit != 0 ? mask[i % 4] : 0));
  return out;
}

void must_be_json(std::string_view text) {
  boost::json::error_code failed;
  (void)boost::json::parse(boost::json::string_view(text.data(), text.size()), failed);
  MILLRACE_ASSERT(!failed, "what the gateway calls JSON is JSON");
}

// Of a body. False if it is cut off; to HEAD there is none.
bool skip_chunks(std::string_view& bytes) {
  if (bytes.empty() || bytes.starts_with("HTTP/1.1 ")) return true;
  for (;;) {
    const std::size_t line = bytes.find("\r\n");
    if (line == std::string_view::npos) return false;
    const std::size_t size = std::stoul(std::string(bytes.substr(0, line)), nullptr, 16);
    if (bytes.size() < line + 2 + size + 2) return false;
    MILLRACE_ASSERT(bytes.substr(line + 2 + size, 2) == "\r\n", "a chunk is as long as it says");
    bytes.remove_prefix(line + 2 + size + 2);
    if (size == 0) return true;
  }
}

// What the server sent, in the order of its bytes: answers, and frames behind a 101. The last may be cut off.
void must_be_answers(std::string_view bytes, bool cut) {
  constexpr std::string_view begin = "HTTP/1.1 ";
  while (!bytes.empty()) {
    const std::size_t head = bytes.find("\r\n\r\n");
    if (head == std::string_view::npos && cut) return;
    MILLRACE_ASSERT(bytes.starts_with(begin) && head != std::string_view::npos, "an answer begins with its header");
    const std::string_view fields = bytes.substr(0, head + 2);
    const std::string_view status = bytes.substr(begin.size(), 3);
    bytes.remove_prefix(head + 4);
    if (status == "101") break;
    constexpr std::array<std::string_view, 13> known = {"200", "400", "403", "404", "405", "410", "413",
                                                        "416", "426", "431", "500", "501", "503"};
    MILLRACE_ASSERT(std::find(known.begin(), known.end(), status) != known.end(), "an answer is one of PROTOCOL.md's");
    if (fields.find("Transfer-Encoding: chunked") != std::string_view::npos) {
      if (!skip_chunks(bytes) && cut) return;
      continue;
    }
    constexpr std::string_view length_field = "Content-Length: ";
    const std::size_t length_at = fields.find(length_field);
    if (bytes.empty() || bytes.starts_with(begin)) continue;  // to HEAD, or cut off
    MILLRACE_ASSERT(length_at != std::string_view::npos, "a body has a length");
    const std::size_t length = std::stoul(std::string(fields.substr(length_at + length_field.size(), 12)));
    if (length > bytes.size() && cut) return;
    MILLRACE_ASSERT(length <= bytes.size(), "and is all there");
    if (fields.find("application/json") != std::string_view::npos) must_be_json(bytes.substr(0, length));
    bytes.remove_prefix(length);
  }
  bool closed = false;
  while (!bytes.empty()) {
    Input in(bytes);
    const unsigned first = in.byte();
    const unsigned opcode = first & 0xf;
    std::uint64_t length = in.byte();
    MILLRACE_ASSERT((length & 0x80) == 0, "a server does not mask");
    MILLRACE_ASSERT((first & 0xf0) == 0x80, "nor fragments, and has no extensions");
    const bool control = (opcode & 8) != 0;
    MILLRACE_ASSERT(opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10), "its opcodes are known");
    MILLRACE_ASSERT(!control || length < 126, "control frames are short");
    MILLRACE_ASSERT(!closed, "nothing comes behind a close");
    std::size_t header = 2;
    if (length >= 126) {
      const int size = length == 126 ? 2 : 8;
      length = 0;
      for (int i = 0; i < size; ++i) length = length << 8 | in.byte();
      header += static_cast<std::size_t>(size);
    }
    if (bytes.size() < header || bytes.size() - header < length) {
      MILLRACE_ASSERT(cut, "a frame is all there");
      return;
    }
    const std::string_view payload = bytes.substr(header, length);
    if (opcode == 1) must_be_json(payload);
    closed = opcode == 8;
    MILLRACE_ASSERT(!closed || length != 1, "a close code has two bytes");
    bytes.remove_prefix(header + length);
  }
}

// A gateway without its threads: events of a log, the later half in memory.
class World {
 public:
  World() {
    publish();
    hub_.emplace(io_, source_, options_, clock_, take_snapshot(source_, clock_.monotonic()));
    publish();
    std::vector<TopicInfo> infos;
    for (const Topic& topic : hub_->topics) infos.push_back(topic.info);
    Feeder feeder(source_, hub_->counters, infos, options_.feed_bytes_max, [] {});
    while (feeder.do_work(clock_.monotonic()) > 0) {
    }
    feeder.drain([&](Feeder::Update&& update) { hub_->update(std::move(update)); });
    MILLRACE_ASSERT(hub_->topics[0].cache.next() == Offset(40), "the later half is in memory");
  }

  // The client's end of a new connection.
  int connect() {
    std::array<int, 2> ends{};
    MILLRACE_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0, "a socket pair");
    Socket socket(io_);
    socket.assign(asio::ip::tcp::v4(), ends[0]);
    std::make_shared<HttpConnection>(*hub_, std::move(socket))->start();
    return ends[1];
  }
  // Until nobody has anything to do: neither the network nor the thread that reads the log.
  void settle() {
    for (std::size_t handled = 1; handled > 0;) {
      io_.restart();
      (void)io_.poll();
      std::promise<void> idle;
      asio::post(hub_->replay_threads, [&] { idle.set_value(); });
      idle.get_future().wait();
      io_.restart();
      handled = io_.poll();
    }
  }
  void pass(std::chrono::nanoseconds time) {
    clock_.advance(time);
    hub_->tick();
    settle();
  }
  [[nodiscard]] bool empty() const { return hub_->connections.empty() && hub_->sessions == 0; }

 private:
  void publish() {
    for (int i = 0; i < 20; ++i) {
      source_.publish_numbered(0, i % 2 == 0 ? "A" : "B");
      source_.publish_numbered(1, "A");
    }
  }

  testing::MemorySource source_{{"trade_events", "market_l2"}};
  GatewayOptions options_;
  ManualClock clock_;
  asio::io_context io_{1};
  std::optional<Hub> hub_;
};

class Client {
 public:
  explicit Client(World& world) : world_(world), fd_(world.connect()) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  // What the server does not take any more is lost.
  void send(std::string_view bytes) { (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void close_side() { (void)::shutdown(fd_, SHUT_WR); }
  // What there is now, and what the server sends because there is room again.
  void receive() {
    std::array<char, 65536> buffer;
    for (;;) {
      world_.settle();
      const auto size = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (size <= 0) return;
      got_.append(buffer.data(), static_cast<std::size_t>(size));
    }
  }
  [[nodiscard]] const std::string& got() const { return got_; }

 private:
  World& world_;
  int fd_;
  std::string got_;
};

void run(World& world, Input input) {
  const unsigned options = input.byte();
  const bool deaf = (options & 2) != 0;
  const bool hangs_up = (options & 4) != 0;
  {
    Client client(world);
    const auto deliver = [&] { deaf ? world.settle() : client.receive(); };
    if ((options & 1) != 0) {
      client.send(upgrade);
      while (!input.empty()) {
        unsigned flags = 0;
        client.send(frame(input, flags));
        if ((flags & delivered) != 0) deliver();
        if ((flags & time_passes) != 0) world.pass(std::chrono::seconds(1));
      }
    } else {
      while (!input.empty()) {
        client.send(input.take((options & 8) != 0 ? 7 : SIZE_MAX));
        deliver();
      }
    }
    if ((options & 16) != 0) {
      world.pass(std::chrono::seconds(60));
      world.pass(std::chrono::seconds(60));
      client.receive();
      // Only a session may stay for ever, if it is subscribed.
      const bool session = client.got().find("HTTP/1.1 101 ") != std::string::npos;
      MILLRACE_ASSERT(session || world.empty(), "who is silent is cut off");
    }
    if (!hangs_up) {
      client.close_side();
      client.receive();
      must_be_answers(client.got(), true);
    }
  }
  world.settle();
  // Whoever waits for the rest of a request, or for room, is cut off by its time limit.
  world.pass(std::chrono::seconds(120));
  world.pass(std::chrono::seconds(120));
  MILLRACE_ASSERT(world.empty(), "nothing stays of a connection");

  Client next(world);
  next.send("GET /v1/topics HTTP/1.1\r\nHost: a\r\n\r\n");
  next.receive();
  MILLRACE_ASSERT(next.got().starts_with("HTTP/1.1 200 "), "the next client is served");
  must_be_answers(next.got(), false);
  next.close_side();
  world.settle();
  MILLRACE_ASSERT(world.empty(), "and gone");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  run(world, Input({reinterpret_cast<const char*>(data), size}));
  return 0;
}
