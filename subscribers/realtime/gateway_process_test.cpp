// Proves what a WebSocket client may rely on with the real gateway on a real core: every event once and in order
// whatever is started, stopped or killed, the same events whichever way they are asked for, and that no client disturbs
// another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "subscribers/realtime/testing/processes.hpp"

namespace millrace::gateway {
namespace {

using testing::becomes;
using testing::connect;
using testing::counter;
using testing::eventually;
using testing::Feed;
using testing::get;
using testing::LoneGateway;
using testing::number;
using testing::Process;
using testing::Received;
using testing::recorded_end;
using testing::Stream;
using testing::TestCore;
using testing::Wanted;
namespace json = boost::json;

// The sequence and the order id that a trade carries: both one more than its offset, where one publisher is alone.
void expect_numbered(const Received& event) {
  std::uint64_t sequence = 0;
  std::uint64_t order = 0;
  if (event.frame.empty()) {
    sequence = number(event.json.at("sequence"));
    order = std::stoull(event.json.at("data").at("buy_order_id").as_string().c_str());
  } else {
    const FrameView frame(reinterpret_cast<const std::byte*>(event.frame.data()));
    sequence = frame.sequence().value();
    order = flatbuffers::GetRoot<schemas::TradeEvent>(frame.payload().data())->buy_order_id();
  }
  ASSERT_EQ(sequence, event.offset + 1);
  ASSERT_EQ(order, event.offset + 1);
}

TEST(Gateway, EveryStartWhileAPublisherRunsAtFullSpeedLeavesNoGapAndNoDuplicate) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  // A time in the midst of what is recorded by now.
  const auto page = get(gateway.port(), "/v1/topics/trade_events/events?from=500&limit=1");
  const std::string time = page.at("events").at(0).at("record_time").as_string().c_str();

  std::vector<std::unique_ptr<Stream>> streams;
  for (const std::string& start : {std::string("\"live\""), std::string("\"earliest\""),
                                   std::string("{\"offset\":700}"), "{\"time\":\"" + time + "\"}"}) {
    for (const char* format : {"json", "binary"}) {
      streams.push_back(
          std::make_unique<Stream>(gateway.port(), Wanted{.start = start, .format = format}, expect_numbered));
    }
  }
  for (std::size_t i : {0u, 1u}) EXPECT_GE(streams[i]->first(), 1000u) << "live: what was recorded before is left out";
  for (std::size_t i : {2u, 3u}) EXPECT_EQ(streams[i]->first(), 0u);
  for (std::size_t i : {4u, 5u}) EXPECT_EQ(streams[i]->first(), 700u);
  for (std::size_t i : {6u, 7u}) EXPECT_LE(streams[i]->first(), 500u) << "events before may have the same time";
  // Each is at work while the publisher still runs; then all read on to the end of what was published.
  std::atomic<std::size_t> at_work{0};
  std::atomic<std::uint64_t> end{UINT64_MAX};
  std::vector<std::thread> readers;
  for (const auto& stream : streams) {
    readers.emplace_back([&] {
      EXPECT_TRUE(stream->until([&] { return stream->count() > 10'000; }));
      ++at_work;
      EXPECT_TRUE(stream->until([&] { return stream->next() >= end; })) << "at " << stream->next();
    });
  }
  EXPECT_TRUE(eventually([&] { return at_work == streams.size(); }));
  puppet.signal(SIGKILL);
  (void)puppet.wait();
  end = recorded_end(*bus);
  for (std::thread& reader : readers) reader.join();
}
}  // namespace
}  // namespace millrace::gateway
