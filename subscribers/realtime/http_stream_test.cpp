// Proves what a range of events over HTTP may be relied on for: the events between two places and no other, in each
// format, whole or visibly not; and that a client that does not read costs no more than a message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstring>
#include <thread>

#include "subscribers/realtime/net.hpp"
#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::http_request;
using client::HttpReply;
namespace json = boost::json;

// Speaks HTTP by hand, so that it may stop reading.
class RawClient {
 public:
  RawClient(std::uint16_t port, std::string_view target, int receive_buffer = 0) : socket_(io_) {
    socket_.open(asio::ip::tcp::v4());
    if (receive_buffer > 0) socket_.set_option(asio::socket_base::receive_buffer_size(receive_buffer));
    socket_.connect({asio::ip::address_v4::loopback(), port});
    asio::write(socket_, asio::buffer("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n"));
  }
  // What comes until there is `wanted`, or the end.
  const std::string& read_to(std::string_view wanted) {
    std::array<char, 65536> buffer;
    while (got_.find(wanted) == std::string::npos) {
      beast::error_code failed;
      const std::size_t size = socket_.read_some(asio::buffer(buffer), failed);
      if (failed) break;
      got_.append(buffer.data(), size);
    }
    return got_;
  }
  // Gone without a word.
  void reset() {
    socket_.set_option(asio::socket_base::linger(true, 0));
    socket_.close();
  }

 private:
  asio::io_context io_;
  Socket socket_;
  std::string got_;
};

class HttpStreamTest : public testing::WithGateway {
 protected:
  [[nodiscard]] HttpReply get(const std::string& query) {
    return http_request(gateway_->port(), "GET", "/v1/topics/trade_events/events?" + query);
  }
  [[nodiscard]] std::string code(const std::string& query, unsigned status) {
    const HttpReply reply = get(query);
    EXPECT_EQ(reply.status, status) << query << ": " << reply.body;
    const auto parsed = json::parse(reply.body);
    EXPECT_FALSE(parsed.at("message").as_string().empty());
    return parsed.at("code").as_string().c_str();
  }
  static std::vector<std::string> lines(const std::string& body) {
    std::vector<std::string> out;
    for (std::size_t at = 0; at < body.size();) {
      const std::size_t end = body.find('\n', at);
      if (end == std::string::npos) {
        ADD_FAILURE() << "a line is not at its end";
        break;
      }
      out.push_back(body.substr(at, end - at));
      at = end + 1;
    }
    return out;
  }
  static std::vector<std::uint64_t> offsets(const std::string& body) {
    std::vector<std::uint64_t> out;
    for (const std::string& line : lines(body))
      out.push_back(json::parse(line).at("offset").to_number<std::uint64_t>());
    return out;
  }
  static std::vector<std::uint64_t> count_from(std::uint64_t first, std::uint64_t end) {
    std::vector<std::uint64_t> out;
    for (; first < end; ++first) out.push_back(first);
    return out;
  }
};

TEST_F(HttpStreamTest, NdjsonHasALineAnEventAsTheWebSocketHasIt) {
  publish(2'000);
  start();
  const HttpReply reply = get("format=ndjson");
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.content_type, "application/x-ndjson");
  EXPECT_EQ(offsets(reply.body), count_from(0, 2'000));
  client::WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest"})");
  const auto events = client.receive_events(2'000);
  const auto all = lines(reply.body);
  ASSERT_EQ(events.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(json::parse(all[i]), events[i]);
}

TEST_F(HttpStreamTest, ARangeIsOfOffsetsOrTimes) {
  publish(100);  // a millisecond apart, from 1'700'000'000 s on
  start();
  EXPECT_EQ(offsets(get("format=ndjson&from=10&to=20").body), count_from(10, 20));
  EXPECT_EQ(offsets(get("format=ndjson&from=95").body), count_from(95, 100));
  EXPECT_EQ(get("format=ndjson&from=100").body, "");
  EXPECT_EQ(get("format=ndjson&from=7&to=7").status, 200u);
  EXPECT_EQ(offsets(get("from=2023-11-14T22:13:20.010Z&to=2023-11-14T23:13:20.020%2B01:00&format=ndjson").body),
            count_from(10, 20));
  EXPECT_EQ(offsets(get("format=ndjson&from=1700000000090000000ns").body), count_from(90, 100));
  EXPECT_EQ(offsets(get("format=ndjson&from=95&to=2023-11-14T22:13:20.097Z").body), count_from(95, 97));
  EXPECT_EQ(offsets(get("format=ndjson&from=90&to=2033-11-14T22:13:20Z").body), count_from(90, 100));
  EXPECT_EQ(offsets(get("format=ndjson&from=10&limit=5").body), count_from(10, 15));
}

TEST_F(HttpStreamTest, AFilterMayHaveSeveralValues) {
  for (int i = 0; i < 40; ++i) publish(1, std::array<std::string_view, 4>{"A", "B", "C d", "D"}[i % 4]);
  publish(70'000, "D");
  publish(1, "A");
  start();
  const auto found = offsets(get("format=ndjson&filter=instrument:A&filter=instrument:C%20d&from=4").body);
  ASSERT_EQ(found.size(), 19u);
  for (std::size_t i = 0; i < 18; ++i) EXPECT_EQ(found[i], 4 + 2 * i);
  EXPECT_EQ(found.back(), 70'040u);
  EXPECT_EQ(offsets(get("format=ndjson&filter=instrument:A&limit=3").body), (std::vector<std::uint64_t>{0, 4, 8}));
}

TEST_F(HttpStreamTest, CsvHasAHeaderAndARowAnEvent) {
  source_.publish(0, R"({"trade_id":"T,1","instrument":"a\"b","price":"12.5","quantity":"3","aggressor":"sell"})");
  source_.publish_garbage(0);
  publish(1);
  start();
  const HttpReply reply = get("format=csv");
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.content_type, "text/csv; charset=utf-8");
  const auto rows = lines(reply.body);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_TRUE(rows[0].starts_with("offset,record_time,publisher,sequence,")) << rows[0];
  EXPECT_NE(rows[0].find(",price"), std::string::npos);
  EXPECT_TRUE(rows[1].starts_with("0,2023-11-14T22:13:20.000000000Z,1,1,")) << rows[1];
  EXPECT_NE(rows[1].find("\"T,1\""), std::string::npos) << rows[1];
  EXPECT_NE(rows[1].find("\"a\"\"b\""), std::string::npos) << rows[1];
  const auto commas = std::count(rows[0].begin(), rows[0].end(), ',');
  EXPECT_TRUE(rows[2].starts_with("1,2023-11-14T22:13:20.001000000Z,1,2,,")) << rows[2];
  EXPECT_EQ(std::count(rows[2].begin(), rows[2].end(), ','), commas);
  EXPECT_EQ(std::count(rows[3].begin(), rows[3].end(), ','), commas);
}

class HttpStreamOfAlertsTest : public testing::WithGateway {
 protected:
  HttpStreamOfAlertsTest() : WithGateway({"risk_alerts"}) {}
};

TEST_F(HttpStreamOfAlertsTest, CsvHasNoNameTwice) {
  start();
  const HttpReply reply = http_request(gateway_->port(), "GET", "/v1/topics/risk_alerts/events?format=csv");
  EXPECT_TRUE(reply.body.starts_with("offset,record_time,log_publisher,sequence,")) << reply.body;
  EXPECT_NE(reply.body.find(",publisher,"), std::string::npos) << "its own";
}

TEST_F(HttpStreamTest, FlatbuffersAreBinaryMessagesOneBehindTheOther) {
  publish(3'000);
  start();
  const std::string body = get("format=flatbuffers&from=5").body;
  std::uint64_t next = 5;
  std::size_t messages = 0;
  for (std::size_t at = 0; at < body.size(); ++messages) {
    protocol::BinaryHeader header{};
    ASSERT_LE(at + sizeof header, body.size());
    std::memcpy(&header, body.data() + at, sizeof header);
    ASSERT_EQ(header.magic, protocol::binary_magic);
    ASSERT_EQ(header.first_offset, next);
    at += header.header_size;
    for (std::uint32_t i = 0; i < header.count; ++i, ++next) {
      protocol::BinaryEntry entry{};
      ASSERT_LE(at + sizeof entry, body.size());
      std::memcpy(&entry, body.data() + at, sizeof entry);
      ASSERT_EQ(entry.offset, next);
      at += header.entry_header_size + entry.frame_size;
    }
    ASSERT_EQ(header.next_offset, next);
  }
  EXPECT_EQ(next, 3'000u);
  EXPECT_GT(messages, 2u) << "it comes in pieces";
}

TEST_F(HttpStreamTest, WhatIsWrongIsNamedBeforeTheFirstByte) {
  publish(100);
  source_.forget_before(0, Offset(10));
  start();
  EXPECT_EQ(code("format=xml", 400), "bad_format");
  EXPECT_EQ(code("format=ndjson&from=20&to=19", 400), "bad_range");
  EXPECT_EQ(code("format=ndjson&from=2023-11-14T22:13:21Z&to=2023-11-14T22:13:20Z", 400), "bad_range");
  EXPECT_EQ(code("format=ndjson&from=50&to=2023-11-14T22:13:20.040Z", 400), "bad_range") << "only the log can tell";
  EXPECT_EQ(code("format=ndjson&from=101", 416), "offset_ahead");
  EXPECT_EQ(code("format=ndjson&from=20&to=101", 416), "offset_ahead");
  EXPECT_EQ(code("format=ndjson&from=2200-01-01T00:00:00Z", 416), "offset_ahead");
  EXPECT_EQ(code("format=ndjson&from=9", 410), "offset_deleted");
  for (const std::string_view malformed :
       {"from=yesterday", "to=2023-13-01T00:00:00Z", "from=", "from=-1", "to=5s", "from=99999999999999999999ns",
        "from=%4", "from=%zz", "limit=0", "limit=x", "level=live", "start=5", "="}) {
    EXPECT_EQ(code("format=ndjson&" + std::string(malformed), 400), "bad_parameter") << malformed;
  }
  for (const std::string_view malformed : {"filter=colour:red", "filter=instrument", "filter=:A",
                                           "filter=instrument:", "filter=instrument:A&filter=account:B"}) {
    EXPECT_EQ(code("format=csv&" + std::string(malformed), 400), "bad_filter") << malformed;
  }
  EXPECT_EQ(http_request(gateway_->port(), "GET", "/v1/topics/nothing/events?format=csv").status, 404u);
  EXPECT_EQ(code("from=5&to=9", 400), "bad_parameter") << "of a page";
}

TEST_F(HttpStreamTest, HeadTellsWhatGetWould) {
  publish(10);
  source_.forget_before(0, Offset(5));
  start();
  const std::string path = "/v1/topics/trade_events/events?format=ndjson&from=";
  EXPECT_EQ(http_request(gateway_->port(), "HEAD", path + "4").status, 410u);
  const HttpReply reply = http_request(gateway_->port(), "HEAD", path + "5");
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.body, "");
  EXPECT_EQ(client::http_raw(gateway_->port(), "GET " + path + "5 HTTP/1.0\r\n\r\n").status, 400u);
}

TEST_F(HttpStreamTest, OneConnectionMayAskAgain) {
  publish(10);
  start();
  const std::string path = "/v1/topics/trade_events/events?format=ndjson&from=8";
  RawClient client(gateway_->port(), path + " HTTP/1.1\r\nHost: a\r\n\r\nGET /health");
  const std::string& got = client.read_to("\"status\":\"ok\"");
  EXPECT_NE(got.find("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), std::string::npos) << got;
  EXPECT_NE(got.find("\"status\":\"ok\""), std::string::npos);
}

TEST_F(HttpStreamTest, AClientThatDoesNotReadIsWaitedForThenClosedAndCostsOneMessage) {
  options_.send_buffer = 4096;
  options_.heartbeat = std::chrono::milliseconds(20);
  options_.write_timeout = std::chrono::milliseconds(300);
  publish(50'000);
  start();
  RawClient deaf(gateway_->port(), "/v1/topics/trade_events/events?format=ndjson", 4096);
  // Others are served meanwhile.
  EXPECT_EQ(offsets(get("format=ndjson&from=49990").body), count_from(49'990, 50'000));
  ASSERT_TRUE(eventually(Counter::http_streams_cut, 1));
  EXPECT_EQ(gateway_->count(Counter::http_timeouts), 0u) << "its request was whole";
  EXPECT_LE(gateway_->count(Counter::replay_reads), 4u) << "what is not read is not fetched either";
  const std::string& got = deaf.read_to("\r\n0\r\n");
  EXPECT_EQ(got.find("\r\n0\r\n"), std::string::npos) << "it does not look whole";
}

// Each keeps a message and a place in the log: so many, and no more.
TEST_F(HttpStreamTest, MoreAtOnceThanThereMayBeAreAskedToComeAgain) {
  options_.http_streams_max = 2;
  options_.send_buffer = 4096;
  publish(20'000);
  start();
  {
    RawClient first(gateway_->port(), "/v1/topics/trade_events/events?format=ndjson", 4096);
    RawClient second(gateway_->port(), "/v1/topics/trade_events/events?format=csv", 4096);
    EXPECT_THAT(first.read_to("200 OK"), ::testing::HasSubstr("200 OK"));
    EXPECT_THAT(second.read_to("200 OK"), ::testing::HasSubstr("200 OK"));
    EXPECT_EQ(code("format=ndjson", 503), "replay_failed");
    EXPECT_EQ(get("from=0&limit=1").status, 200u) << "a page is no range";
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (get("format=ndjson&to=3").status != 200 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_EQ(offsets(get("format=ndjson&to=3").body), count_from(0, 3)) << "those that hung up have made room";
}

TEST_F(HttpStreamTest, WhatIsDeletedOnTheWayEndsItVisibly) {
  options_.send_buffer = 4096;
  publish(20'000);
  start();
  for (const std::string_view format : {"ndjson", "csv", "flatbuffers"}) {
    source_.forget_before(0, Offset(0));
    const std::uint64_t reads = gateway_->count(Counter::replay_reads);
    RawClient client(gateway_->port(), "/v1/topics/trade_events/events?format=" + std::string(format), 4096);
    ASSERT_TRUE(eventually(Counter::replay_reads, reads + 1));
    client.read_to("\r\n\r\n");
    source_.forget_before(0, Offset(19'999));
    const std::string& got = client.read_to("\r\n0\r\n\r\n");
    EXPECT_EQ(got.find("\r\n0\r\n\r\n"), std::string::npos) << "the body is not at its end";
    EXPECT_EQ(got.find("offset_deleted") != std::string::npos, format != "flatbuffers");
    if (format != "ndjson") continue;
    const std::size_t at = got.rfind("{\"type\":\"error\"");
    ASSERT_NE(at, std::string::npos);
    const auto last = json::parse(got.substr(at, got.find('\n', at) - at));
    const auto next = last.at("next_offset").to_number<std::uint64_t>();
    EXPECT_NE(got.find("{\"offset\":" + std::to_string(next - 1) + ","), std::string::npos);
    EXPECT_EQ(got.find("{\"offset\":" + std::to_string(next) + ","), std::string::npos);
  }
  EXPECT_EQ(gateway_->count(Counter::http_streams_cut), 3u);
}

TEST_F(HttpStreamTest, FlatbuffersThatEndBadlyLackTheLastChunkAndSayWhereToGoOn) {
  options_.send_buffer = 4096;
  publish(20'000);
  start();
  const std::string target = "/v1/topics/trade_events/events?format=flatbuffers";
  RawClient client(gateway_->port(), target, 4096);
  client.read_to("\r\n\r\n");
  source_.forget_before(0, Offset(19'000));
  const std::string& got = client.read_to("\r\n0\r\n\r\n");
  // As an HTTP library takes it: the body is cut off.
  http::response_parser<http::string_body> parser;
  parser.body_limit(64 << 20);
  parser.eager(true);
  beast::error_code failed;
  std::size_t used = 0;
  while (!failed && used < got.size()) used += parser.put(asio::buffer(got.substr(used)), failed);
  if (failed == http::error::need_more) failed = {};
  EXPECT_FALSE(failed) << failed.message();
  EXPECT_FALSE(parser.is_done());
  parser.put_eof(failed);
  EXPECT_EQ(failed, http::error::partial_message);
  // Whole messages, the last of which names where to go on.
  const std::string& body = parser.get().body();
  std::uint64_t next = 0;
  for (std::size_t at = 0; at < body.size();) {
    protocol::BinaryHeader header{};
    ASSERT_LE(at + sizeof header, body.size());
    std::memcpy(&header, body.data() + at, sizeof header);
    ASSERT_EQ(header.magic, protocol::binary_magic);
    ASSERT_EQ(header.first_offset, next);
    at += header.header_size;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      protocol::BinaryEntry entry{};
      ASSERT_LE(at + sizeof entry, body.size());
      std::memcpy(&entry, body.data() + at, sizeof entry);
      at += header.entry_header_size + entry.frame_size;
    }
    ASSERT_LE(at, body.size());
    next = header.next_offset;
  }
  EXPECT_GT(next, 0u);
  EXPECT_LT(next, 19'000u);
  EXPECT_EQ(code("format=flatbuffers&from=" + std::to_string(next), 410), "offset_deleted");
}

TEST_F(HttpStreamTest, AtLevelSyncedItEndsWhereThatDoes) {
  source_.hold_sync(true);
  publish(20);
  source_.sync(0, Offset(12));
  start();
  EXPECT_EQ(offsets(get("format=ndjson&level=synced").body), count_from(0, 12));
  EXPECT_EQ(code("format=ndjson&level=synced&to=13", 416), "offset_ahead");
  EXPECT_EQ(offsets(get("format=ndjson").body), count_from(0, 20));
}

TEST_F(HttpStreamTest, ADamagedLogEndsItVisiblyWhereItIs) {
  publish(1'000);
  source_.damage(0, Offset(200), Offset(300));
  start();
  RawClient client(gateway_->port(), "/v1/topics/trade_events/events?format=ndjson");
  const std::string& got = client.read_to("\r\n0\r\n\r\n");
  EXPECT_EQ(got.find("\r\n0\r\n\r\n"), std::string::npos) << "the body is not at its end";
  EXPECT_NE(got.find("{\"offset\":199,"), std::string::npos);
  EXPECT_EQ(got.find("{\"offset\":300,"), std::string::npos);
  const std::size_t at = got.rfind("{\"type\":\"error\"");
  ASSERT_NE(at, std::string::npos);
  const auto last = json::parse(got.substr(at, got.find('\n', at) - at));
  EXPECT_EQ(last.at("code"), "replay_failed");
  EXPECT_EQ(last.at("next_offset"), 200);
}

TEST_F(HttpStreamTest, FromATimeThatMemoryHasNotComeToItIsEmptyAndNotReversed) {
  start();
  source_.hold_poll(true);
  publish(10);  // a millisecond apart, from 1'700'000'000 s on
  const std::string from = "format=ndjson&from=2023-11-14T22:13:20.005Z";
  const HttpReply reply = get(from);
  EXPECT_EQ(reply.status, 200u) << reply.body;
  EXPECT_EQ(reply.body, "");
  EXPECT_EQ(code(from + "&to=0", 400), "bad_range");
}

TEST_F(HttpStreamTest, WhereNothingPassesTheFilterItEndsWithItsClient) {
  publish(400'000);
  start();
  source_.hold_reads(Offset(100'000));
  RawClient client(gateway_->port(), "/v1/topics/trade_events/events?format=csv&filter=instrument:B");
  client.read_to("\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return source_.holds_a_read(); }));
  client.reset();
  source_.hold_reads(source_.nowhere);
  // The only other connection is the one that asks.
  EXPECT_TRUE(eventually([&] {
    const std::string metrics = http_request(gateway_->port(), "GET", "/metrics").body;
    return metrics.find("millrace_gateway_connections 1\n") != std::string::npos;
  }));
  EXPECT_LE(gateway_->count(Counter::replay_reads), 3u) << "the rest of the log is not read";
}

}  // namespace
}  // namespace millrace::gateway
