// Proves that a range of a real log, asked of a real gateway over HTTP, is what was published: in each format, by
// offset and by time, filtered, and while the publisher goes on; that who does not read it costs neither memory nor
// others their answers; and that what is wrong with a request is told by a code and in words that name it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "subscribers/realtime/testing/processes.hpp"

namespace millrace::gateway {
namespace {

using client::http_request;
using testing::connect;
using testing::counter;
using testing::eventually;
using testing::Feed;
using testing::get;
using ::testing::HasSubstr;
using testing::LoneGateway;
using testing::number;
using testing::Process;
using testing::TestCore;
namespace json = boost::json;

const std::string path = "/v1/topics/trade_events/events?";

// What a Feed published at an offset, as a client in any format can see it.
struct Trade {
  std::uint64_t offset = 0;
  std::uint64_t order = 0;
  std::string instrument;
  bool operator==(const Trade&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Trade& trade) {
  return out << trade.offset << ' ' << trade.order << ' ' << trade.instrument;
}
// `only`: of that instrument.
std::vector<Trade> published(std::uint64_t from, std::uint64_t to, std::string_view only = "") {
  std::vector<Trade> trades;
  for (std::uint64_t offset = from; offset < to; ++offset) {
    const Trade trade{offset, offset + 1, (offset + 1) % 2 == 0 ? "MILL" : "RACE"};
    if (only.empty() || trade.instrument == only) trades.push_back(trade);
  }
  return trades;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(at, begin)) != std::string::npos; begin = end + 1) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<Trade> from_ndjson(const std::string& body) {
  std::vector<Trade> trades;
  for (const std::string& line : split(body, '\n')) {
    if (line.empty()) continue;
    const auto event = json::parse(line);
    const auto& data = event.at("data");
    trades.push_back({number(event.at("offset")), std::stoull(data.at("buy_order_id").as_string().c_str()),
                      data.at("instrument").as_string().c_str()});
    EXPECT_EQ(number(event.at("sequence")), trades.back().offset + 1);
  }
  return trades;
}

std::vector<Trade> from_csv(const std::string& body) {
  std::vector<Trade> trades;
  const auto rows = split(body, '\n');
  const auto names = split(rows.front(), ',');
  const auto column = [&](const char* name) {
    const auto at = std::find(names.begin(), names.end(), name);
    EXPECT_NE(at, names.end()) << name;
    return static_cast<std::size_t>(at - names.begin());
  };
  const std::size_t order = column("buy_order_id");
  const std::size_t instrument = column("instrument");
  for (std::size_t i = 1; i + 1 < rows.size(); ++i) {
    const auto cells = split(rows[i], ',');
    if (cells.size() != names.size()) {
      ADD_FAILURE() << rows[i];
      break;
    }
    trades.push_back({std::stoull(cells[0]), std::stoull(cells[order]), cells[instrument]});
  }
  return trades;
}

std::vector<Trade> from_flatbuffers(const std::string& body) {
  std::vector<Trade> trades;
  for (std::size_t at = 0; at < body.size();) {
    protocol::BinaryHeader header{};
    std::memcpy(&header, body.data() + at, std::min(sizeof header, body.size() - at));
    if (header.magic != protocol::binary_magic || body.size() - at < sizeof header) {
      ADD_FAILURE() << "no message at " << at;
      break;
    }
    at += header.header_size;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      protocol::BinaryEntry entry{};
      std::memcpy(&entry, body.data() + at, sizeof entry);
      at += header.entry_header_size;
      const std::string bytes = body.substr(at, entry.frame_size);  // aligned
      at += entry.frame_size;
      const FrameView frame(reinterpret_cast<const std::byte*>(bytes.data()));
      const auto* trade = flatbuffers::GetRoot<schemas::TradeEvent>(frame.payload().data());
      trades.push_back({entry.offset, trade->buy_order_id(), std::string(schemas::text(trade->instrument()))});
      EXPECT_EQ(frame.sequence().value(), entry.offset + 1);
    }
  }
  return trades;
}

std::vector<Trade> range(std::uint16_t port, const std::string& format, const std::string& query) {
  const auto reply = http_request(port, "GET", path + "format=" + format + query);
  EXPECT_EQ(reply.status, 200u) << query << ": " << reply.body.substr(0, 500);
  if (reply.status != 200) return {};
  if (format == "ndjson") return from_ndjson(reply.body);
  return format == "csv" ? from_csv(reply.body) : from_flatbuffers(reply.body);
}

// As the log has it, of a trade that is there.
std::string record_time(std::uint16_t port, std::uint64_t offset) {
  const auto page = get(port, path + "limit=1&from=" + std::to_string(offset));
  return page.at("events").at(0).at("record_time").as_string().c_str();
}

TEST(GatewayRange, EveryFormatHasWhatWasPublishedByOffsetByTimeAndFilteredWhileThePublisherGoesOn) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "65536"});
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  Feed feed(*bus, "maker", 32);
  ASSERT_TRUE(eventually([&] { return number(testing::topic_info(port).at("next_offset")) > 20'000; }));
  const std::string early = record_time(port, 3'000);
  const std::string late = record_time(port, 9'000);
  ASSERT_LT(early, late);
  std::uint64_t live_to = 0;
  for (const std::string format : {"ndjson", "csv", "flatbuffers"}) {
    EXPECT_EQ(range(port, format, "&from=1000&to=16000"), published(1'000, 16'000)) << format;
    EXPECT_EQ(range(port, format, "&from=1001&to=8000&filter=instrument:MILL"), published(1'001, 8'000, "MILL"));
    // Several events may have one time: it begins with the first of them, and ends before the first.
    const auto by_time = range(port, format, "&from=" + early + "&to=" + late);
    ASSERT_FALSE(by_time.empty());
    const std::uint64_t first = by_time.front().offset;
    const std::uint64_t end = by_time.back().offset + 1;
    EXPECT_EQ(by_time, published(first, end));
    EXPECT_LE(first, 3'000u);
    EXPECT_LE(end, 9'000u);
    EXPECT_EQ(record_time(port, first), early);
    EXPECT_EQ(record_time(port, end), late);
    if (first > 0) {
      EXPECT_LT(record_time(port, first - 1), early);
    }
    EXPECT_LT(record_time(port, end - 1), late);
    // Without an end it is what there was when it was asked for, more each time.
    const std::uint64_t before = feed.published();
    std::uint64_t next = 0;
    ASSERT_TRUE(eventually([&] {
      next = number(testing::topic_info(port).at("next_offset"));
      return next > live_to + 1'000;
    }));
    const auto all = range(port, format, "&from=" + std::to_string(next - 1'000));
    ASSERT_GE(all.size(), 1'000u);
    EXPECT_EQ(all, published(next - 1'000, all.back().offset + 1));
    EXPECT_GT(all.back().offset, live_to);
    live_to = all.back().offset;
    ASSERT_TRUE(eventually([&] { return feed.published() > before + 1'000; }))
        << "the publisher was at it all the while";
  }
  feed.stop();
  const std::uint64_t end = feed.published();
  ASSERT_TRUE(eventually([&] { return number(testing::topic_info(port).at("next_offset")) == end; }));
  // On a slow machine there was time to publish more than an answer of this client may have.
  const std::uint64_t from = end - std::min<std::uint64_t>(end, 50'000);
  for (const std::string format : {"ndjson", "csv", "flatbuffers"}) {
    EXPECT_EQ(range(port, format, "&from=" + std::to_string(from)), published(from, end)) << format;
    EXPECT_EQ(range(port, format, "&level=synced&from=7&limit=5"), published(7, 12));
  }
}

// In bytes; `field` of /proc/PID/status.
std::uint64_t memory_of(pid_t pid, const std::string& field) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stoull(line.substr(field.size() + 1)) * 1024;
  }
  ADD_FAILURE() << "no " << field;
  return 0;
}

// Asks, and never reads.
class Deaf {
 public:
  Deaf(std::uint16_t port, const std::string& query) : socket_(io_) {
    socket_.open(asio::ip::tcp::v4());
    socket_.set_option(asio::socket_base::receive_buffer_size(4096));
    socket_.connect({asio::ip::address_v4::loopback(), port});
    asio::write(socket_, asio::buffer("GET " + path + query + " HTTP/1.1\r\nHost: a\r\n\r\n"));
  }
  // All that is still to be had of it.
  std::string rest() {
    std::string got;
    std::array<char, 65536> buffer;
    beast::error_code failed;
    while (!failed) got.append(buffer.data(), socket_.read_some(asio::buffer(buffer), failed));
    return got;
  }

 private:
  asio::io_context io_;
  Socket socket_;
};

TEST(GatewayRange, AHundredWhoNeverReadAreCutOffAndCostNeitherMemoryNorOthersTheirAnswers) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "65536", "--write-timeout-ms", "2000"});
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  {
    Feed feed(*bus, "maker", 256);
    ASSERT_TRUE(eventually([&] { return feed.published() > 200'000; }));
  }
  // As JSON that is some 100 MB, which a hundred of them ask for.
  ASSERT_TRUE(eventually([&] { return number(testing::topic_info(port).at("next_offset")) > 200'000; }));
  EXPECT_EQ(range(port, "ndjson", "&to=1000"), published(0, 1'000));
  const std::uint64_t before = memory_of(gateway.process().pid(), "VmRSS");
  std::vector<std::unique_ptr<Deaf>> deaf;
  for (int i = 0; i < 100; ++i) deaf.push_back(std::make_unique<Deaf>(port, "format=ndjson"));
  ASSERT_TRUE(eventually([&] { return counter(port, "http_streams") >= 101; }));
  // Others go on meanwhile, from the log, too.
  std::uint64_t asked = 0;
  while (counter(port, "http_streams_cut") == 0 && asked < 10'000 && !::testing::Test::HasFailure()) {
    EXPECT_EQ(range(port, "flatbuffers", "&from=5000&to=6000"), published(5'000, 6'000));
    ++asked;
  }
  EXPECT_GT(asked, 0u);
  ASSERT_TRUE(eventually([&] { return counter(port, "http_streams_cut") == 100; })) << "each, within its time";
  const std::uint64_t most = memory_of(gateway.process().pid(), "VmHWM");
  std::printf("gateway memory: %lu KiB before, at most %lu KiB with a hundred who do not read\n", before / 1024,
              most / 1024);
  // Each costs a message of 128 KiB with its spare room, the events read ahead and a reader of the log: some 600 KiB of
  // the 100 MB that it asked for.
  EXPECT_LT(most, before + (std::uint64_t{100} << 20));
  for (const auto& one : deaf) EXPECT_THAT(one->rest(), Not(HasSubstr("\r\n0\r\n\r\n"))) << "no body looks whole";
  EXPECT_EQ(range(port, "csv", "&from=199000&to=200000"), published(199'000, 200'000));
}

TEST(GatewayRange, WhatRetentionDeletedUnderAReaderEndsItsBodyBeforeTheLastChunk) {
  TestCore core("[topics.trade_events]\nsegment_bytes = \"4 MiB\"\nretention_bytes = \"32 MiB\"\n");
  LoneGateway gateway(core, {"--cache-bytes", "65536"});
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  const auto first_there_is = [&] { return number(testing::topic_info(port).at("first_offset")); };
  Feed feed(*bus, "maker", 32);
  ASSERT_TRUE(eventually([&] { return number(testing::topic_info(port).at("next_offset")) > 100'000; }));
  const std::uint64_t from = first_there_is();
  std::vector<std::unique_ptr<Deaf>> slow;
  for (const char* format : {"ndjson", "csv", "flatbuffers"}) {
    slow.push_back(std::make_unique<Deaf>(port, "format=" + std::string(format) + "&from=" + std::to_string(from)));
  }
  ASSERT_TRUE(eventually([&] { return counter(port, "http_streams") >= 3; }));
  ASSERT_TRUE(eventually([&] { return first_there_is() > from + 100'000; }))
      << "retention goes past all they asked for";
  feed.stop();
  const std::string ndjson = slow[0]->rest();
  const std::string csv = slow[1]->rest();
  const std::string flatbuffers = slow[2]->rest();
  EXPECT_THAT(ndjson, HasSubstr("{\"type\":\"error\",\"code\":\"offset_deleted\",\"next_offset\":"));
  EXPECT_THAT(csv, HasSubstr("\n#error,offset_deleted,"));
  for (const std::string* got : {&ndjson, &csv, &flatbuffers}) {
    EXPECT_TRUE(got->starts_with("HTTP/1.1 200")) << got->substr(0, 100);
    EXPECT_THAT(*got, Not(HasSubstr("\r\n0\r\n\r\n")));
  }
  EXPECT_EQ(counter(port, "http_streams_cut"), 3u);
}

TEST(GatewayRange, WhatIsWrongWithARequestIsToldByCodeAndInWords) {
  TestCore core("[topics.trade_events]\nsegment_bytes = \"1 MiB\"\nretention_bytes = \"2 MiB\"\n");
  LoneGateway gateway(core);
  const std::uint16_t port = gateway.port();
  auto bus = connect(core);
  {
    Feed feed(*bus, "maker", 32);
    ASSERT_TRUE(eventually([&] { return number(testing::topic_info(port).at("first_offset")) > 0; }));
  }
  const std::uint64_t end = testing::recorded_end(*bus);
  ASSERT_TRUE(eventually([&] { return number(testing::topic_info(port).at("next_offset")) == end; }));
  const std::uint64_t first = number(testing::topic_info(port).at("first_offset"));
  const std::string last = record_time(port, end - 1);
  const auto refused = [&](const std::string& target, unsigned status, std::string_view code,
                           const std::string& words) {
    const auto reply = http_request(port, "GET", target);
    EXPECT_EQ(reply.status, status) << target << ": " << reply.body;
    EXPECT_EQ(reply.content_type, "application/json");
    const auto answer = json::parse(reply.body);
    EXPECT_EQ(answer.at("code"), json::string_view(code.data(), code.size())) << target;
    EXPECT_THAT(answer.at("message").as_string().c_str(), HasSubstr(words)) << target;
  };
  const auto bad = [&](const std::string& query, unsigned status, std::string_view code, const std::string& words) {
    refused(path + "format=ndjson&" + query, status, code, words);
  };
  const std::string beyond = std::to_string(end + 1);
  bad("from=" + std::to_string(end) + "&to=" + std::to_string(end - 1), 400, "bad_range", "reversed");
  bad("from=2026-03-02T10:00:00Z&to=2026-03-02T09:30:00Z", 400, "bad_range", "reversed: 'to' (2026-03-02T09:30:00");
  bad("from=" + std::to_string(end) + "&to=" + last, 400, "bad_range", "reversed");
  bad("from=" + beyond, 416, "offset_ahead", "'from' (" + beyond + ") is beyond the topic's next offset, ");
  bad("from=" + std::to_string(first) + "&to=" + beyond, 416, "offset_ahead", "'to' (" + beyond + ") is beyond");
  bad("from=2100-01-01T00:00:00Z", 416, "offset_ahead", "has not come yet");
  bad("from=0", 410, "offset_deleted", "offset 0 is deleted; the first there is: ");
  refused("/v1/topics/nothing/events?format=ndjson", 404, "unknown_topic", "topic");
  bad("filter=colour:red", 400, "bad_filter", "'colour': this topic can be filtered by: ");
  bad("filter=instrument", 400, "bad_filter", "FIELD:VALUE");
  bad("from=noon", 400, "bad_parameter", "'from' is neither an offset nor a time: RFC 3339");
  bad("to=2026-02-30T00:00:00Z", 400, "bad_parameter", "'to' is neither");
  bad("limit=0", 400, "bad_parameter", "'limit'");
  bad("level=live", 400, "bad_parameter", "'level'");
  bad("speed=1", 400, "bad_parameter", "the parameters of a range are");
  refused(path + "format=xml", 400, "bad_format", "ndjson, csv and flatbuffers");
  EXPECT_GE(range(port, "csv", "&from=1970-01-02T00:00:00Z&limit=1").front().offset, first)
      << "a time before the oldest event begins with that";
}

}  // namespace
}  // namespace millrace::gateway
