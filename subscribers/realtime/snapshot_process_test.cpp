// Proves with the real gateway on a real core, whose log has many segments with their keys noted, that a WebSocket
// subscription with a snapshot is sent the latest trade of each instrument before its start and then every one from
// there on, as the log has them, while more are published.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>

#include "bus/base/rfc3339.hpp"
#include "subscribers/realtime/testing/processes.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::gateway {
namespace {

using testing::connect;
using testing::eventually;
using testing::LoneGateway;
using testing::number;
using testing::recorded_end;
using testing::TestCore;
using testing::WsClient;
namespace json = boost::json;

// An event as both formats tell it.
struct Told {
  std::uint64_t offset = 0;
  std::uint64_t sequence = 0;
  std::string record_time;
  std::string instrument;
  std::uint64_t order = 0;
  std::string frame;  // of JSON empty
};

void read_frame(const FrameView& frame, Told& into) {
  const auto& trade = *flatbuffers::GetRoot<schemas::TradeEvent>(frame.payload().data());
  into.sequence = frame.sequence().value();
  into.instrument = std::string(schemas::text(trade.instrument()));
  into.order = trade.buy_order_id();
  const std::size_t size = frame_size(frame.payload().size());
  into.frame.assign(reinterpret_cast<const char*>(frame.payload().data()) - frame_header_size, size);
}

std::vector<Told> read_log(const std::string& folder) {
  std::vector<Told> events;
  auto log = wal::Reader::open(wal::posix_file_system(), folder);
  EXPECT_TRUE(log);
  for (auto batch = log->next(); batch && *batch; batch = log->next()) {
    wal::EventCursor cursor(**batch);
    while (const auto event = cursor.next()) {
      Told& told = events.emplace_back();
      told.offset = event->offset.value();
      append_rfc3339((*batch)->record_time, told.record_time);
      read_frame(event->frame, told);
    }
  }
  return events;
}

struct Session {
  std::uint64_t first = 0;  // as the answer says
  std::vector<Told> snapshot;
  std::vector<Told> events;

  // What a client is told that reads on to `end`.
  Session(std::uint16_t port, const std::string& start, const std::string& format, std::uint64_t end) : client(port) {
    client.send(R"({"op":"subscribe","topic":"trade_events","snapshot":true,"start":)" + start + R"(,"format":")" +
                format + "\"}");
    while (!(last && next >= end) && !::testing::Test::HasFailure()) {
      const auto message = client.receive();
      if (!message) {
        ADD_FAILURE() << "the connection ended at " << next;
        return;
      }
      client.last_was_binary() ? take_binary(*message) : take(json::parse(*message));
    }
  }

 private:
  void take(const json::value& message) {
    const json::value& type = message.at("type");
    if (type == "heartbeat") return;
    if (type == "subscribed") {
      EXPECT_EQ(message.at("snapshot"), true);
      first = next = number(message.at("first_offset"));
      return;
    }
    ASSERT_TRUE(type == "snapshot" || type == "events") << json::serialize(message);
    const bool of_snapshot = type == "snapshot";
    begin(of_snapshot, of_snapshot ? number(message.at("as_of")) : number(message.at("first_offset")));
    for (const json::value& event : message.at("events").as_array()) {
      const json::value& data = event.at("data");
      (of_snapshot ? snapshot : events)
          .push_back({number(event.at("offset")),
                      number(event.at("sequence")),
                      event.at("record_time").as_string().c_str(),
                      data.at("instrument").as_string().c_str(),
                      std::stoull(data.at("buy_order_id").as_string().c_str()),
                      {}});
    }
    last = of_snapshot ? message.at("last").as_bool() : last;
    if (!of_snapshot) next = number(message.at("next_offset"));
  }
  void take_binary(const std::string& message) {
    protocol::BinaryBatchHeader header{};
    std::memcpy(&header.common, message.data(), sizeof header.common);
    const bool of_snapshot = header.common.header_size == sizeof header;
    if (of_snapshot) {
      std::memcpy(&header, message.data(), sizeof header);
      ASSERT_EQ(header.kind, protocol::binary_snapshot);
      ASSERT_EQ(header.common.first_offset, header.common.next_offset);
    }
    begin(of_snapshot, header.common.first_offset);
    std::uint32_t count = 0;
    for (std::size_t at = header.common.header_size; at < message.size(); ++count) {
      protocol::BinaryEntry entry{};
      std::memcpy(&entry, message.data() + at, sizeof entry);
      at += header.common.entry_header_size;
      Told& told = (of_snapshot ? snapshot : events).emplace_back();
      told.offset = entry.offset;
      append_rfc3339(WallTime{entry.record_time}, told.record_time);
      const std::string frame = message.substr(at, entry.frame_size);
      read_frame(FrameView(reinterpret_cast<const std::byte*>(frame.data())), told);
      at += entry.frame_size;
    }
    EXPECT_EQ(count, header.common.count);
    last = of_snapshot ? header.detail == 1 : last;
    if (!of_snapshot) next = header.common.next_offset;
  }
  void begin(bool of_snapshot, std::uint64_t offset) {
    EXPECT_EQ(offset, next) << "no hole and no duplicate; a snapshot is as of the first offset";
    EXPECT_NE(of_snapshot, last) << "the snapshot first, then its end, then everything else";
  }

  WsClient client;
  bool last = false;
  std::uint64_t next = 0;
};

void expect_same(const std::vector<Told>& told, const std::vector<const Told*>& wanted, const char* what) {
  ASSERT_EQ(told.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < told.size(); ++i) {
    ASSERT_EQ(told[i].offset, wanted[i]->offset) << what << ' ' << i;
    ASSERT_EQ(told[i].sequence, wanted[i]->sequence) << what << ' ' << i;
    ASSERT_EQ(told[i].record_time, wanted[i]->record_time) << what << ' ' << i;
    ASSERT_EQ(told[i].instrument, wanted[i]->instrument) << what << ' ' << i;
    ASSERT_EQ(told[i].order, wanted[i]->order) << what << ' ' << i;
    if (!told[i].frame.empty()) {
      ASSERT_EQ(told[i].frame, wanted[i]->frame) << what << ' ' << i;
    }
  }
}

TEST(GatewaySnapshot, IsWhatTheLogHasBeforeTheStartAndThenEverythingFromThereOn) {
  TestCore core("[topics.trade_events]\nsegment_bytes = \"256 KiB\"\nretention_bytes = 0\n");
  LoneGateway gateway(core);
  const auto bus = connect(core);
  auto publisher = bus->publisher("trade_events", "maker");
  ASSERT_TRUE(publisher) << publisher.error().message;
  std::mt19937_64 random(3);
  // Five instruments that trade often, and sixty that seldom do: their last trade lies many segments back.
  const auto publish = [&](std::size_t count) {
    for (std::size_t done = 0; done < count;) {
      const auto name =
          random() % 500 == 0 ? "RARE" + std::to_string(random() % 60) : "OFTEN" + std::to_string(random() % 5);
      const std::uint64_t sequence = publisher->next_sequence().value();
      const auto published = publisher->publish<schemas::TradeEvent>([&](schemas::TradeEvent& trade) {
        trade.mutate_buy_order_id(sequence);
        schemas::set_text(trade.mutable_instrument(), name);
      });
      if (published) ++done;
      if (!published) std::this_thread::yield();
    }
  };
  constexpr std::uint64_t before = 30'000;
  constexpr std::uint64_t all = before + 10'000;
  publish(before);
  const auto noted = [&] {
    const std::filesystem::directory_iterator names(core.log_folder("trade_events"));
    return std::count_if(begin(names), end(names), [](const auto& one) { return one.path().extension() == ".keys"; });
  };
  ASSERT_TRUE(eventually([&] { return recorded_end(*bus) == before && noted() >= 15; })) << noted();

  const std::uint64_t starts[] = {random() % before, random() % before, before - 1, before};
  std::thread more([&] { publish(all - before); });
  std::vector<std::pair<std::string, Session>> sessions;
  for (const char* format : {"json", "binary"}) {
    for (const std::uint64_t start : starts) {
      sessions.emplace_back(format, Session(gateway.port(), "{\"offset\":" + std::to_string(start) + "}", format, all));
      EXPECT_EQ(sessions.back().second.first, start);
    }
    sessions.emplace_back(format, Session(gateway.port(), "\"live\"", format, 0));
    EXPECT_GE(sessions.back().second.first, before);
  }
  more.join();

  const std::vector<Told> log = read_log(core.log_folder("trade_events"));
  ASSERT_EQ(log.size(), all);
  for (const auto& [format, session] : sessions) {
    SCOPED_TRACE(format + " as of " + std::to_string(session.first));
    EXPECT_EQ(session.snapshot.empty() || session.snapshot.front().frame.empty(), format == "json");
    std::map<std::string, const Told*> latest;
    for (std::uint64_t i = 0; i < session.first; ++i) latest[log[i].instrument] = &log[i];
    std::vector<const Told*> wanted;
    for (const auto& [instrument, event] : latest) wanted.push_back(event);
    std::ranges::sort(wanted, {}, &Told::offset);
    expect_same(session.snapshot, wanted, "snapshot");
    wanted.clear();
    for (std::uint64_t i = session.first; i < session.first + session.events.size() && i < all; ++i) {
      wanted.push_back(&log[i]);
    }
    expect_same(session.events, wanted, "events");
  }
}

}  // namespace
}  // namespace millrace::gateway
