// Proves that bytes nobody vouches for do no harm: truncated and mutated events are refused or read within bounds (the
// sanitizers watch), and mutated binary schemas are refused or compile to something that is used within bounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "schemas/families.hpp"
#include "schemas/json_text.hpp"
#include "schemas/registry.hpp"

namespace millrace::schemas {
namespace {

constexpr std::string_view user_event =
    R"({"name":"n","code":"ABC","legs":[{"symbol":"A","legs":[{"symbol":"C"}]}],"tags":["a","b"],"counts":["1","2"],)"
    R"("points":[{"x":1,"y":2,"tag":[1,2,3]}],"rungs":[{"price":"1.25","size":4}],"extra_type":"Circle",)"
    R"("extra":{"radius":1}})";

// Bytes in a heap block of exactly their size, 8-byte aligned, so that one byte too far is seen.
class Exact {
 public:
  explicit Exact(std::span<const std::byte> bytes) : bytes_(bytes.begin(), bytes.end()) {}
  [[nodiscard]] std::span<std::byte> bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

// Reads all there is to read of an event that its verifier let through.
void use(const EventType& type, std::span<const std::byte> payload) {
  std::string json;
  type.append_json(payload, json);
  EXPECT_TRUE(is_utf8(json));
  (void)type.key(payload);
  for (const std::string& field : type.filterable()) (void)type.matches(payload, field, "x");
}

std::vector<std::pair<const EventType*, std::vector<std::byte>>> samples(Registry& registry) {
  std::vector<std::pair<const EventType*, std::vector<std::byte>>> samples;
  for (const EventType* type : registry.all()) samples.emplace_back(type, type->from_json("{}").value());
  const auto* user =
      registry.add_user_schema("user", EventTypeId{1000}, MILLRACE_SCHEMAS_TESTDATA "/user.fbs", "", "").value();
  samples.emplace_back(user, user->from_json(user_event).value());
  return samples;
}

TEST(HostileBytes, truncations_are_refused_or_read_within_bounds) {
  Registry registry = Registry::built_in();
  for (auto& [type, event] : samples(registry)) {
    for (std::size_t size = 0; size < event.size(); ++size) {
      Exact cut(std::span<const std::byte>(event).first(size));
      const bool verified = type->verify(cut.bytes());
      // What may be missing is padding at the end.
      EXPECT_TRUE(!verified || event.size() - size < 16)
          << type->name() << " cut to " << size << " of " << event.size();
      if (verified) use(*type, cut.bytes());
    }
  }
}

TEST(HostileBytes, random_mutations_are_refused_or_read_within_bounds) {
  Registry registry = Registry::built_in();
  std::mt19937_64 random(20230207);
  for (auto& [type, event] : samples(registry)) {
    int refused = 0;
    for (int round = 0; round < 20'000; ++round) {
      Exact mutated(event);
      for (auto flips = 1 + random() % 4; flips > 0; --flips)
        mutated.bytes()[random() % event.size()] = static_cast<std::byte>(random() % 3 == 0 ? random() : random() % 8);
      if (type->verify(mutated.bytes())) {
        use(*type, mutated.bytes());
      } else {
        ++refused;
      }
    }
    EXPECT_GT(refused, 0) << type->name();
  }
}

TEST(HostileBytes, an_event_that_would_unfold_to_far_more_than_its_size_is_refused) {
  Registry registry = Registry::built_in();
  const auto* user =
      registry.add_user_schema("user", EventTypeId{1000}, MILLRACE_SCHEMAS_TESTDATA "/user.fbs", "", "").value();
  // A list whose every entry is the same long string: built by hand, as from_json shares nothing.
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(std::string(10'000, 'x'));
  const auto list = builder.CreateVector(std::vector<flatbuffers::Offset<flatbuffers::String>>(5'000, text));
  const auto start = builder.StartTable();
  builder.AddOffset(12, list);  // Strategy.tags is the fifth field
  builder.Finish(flatbuffers::Offset<void>(builder.EndTable(start)), "USER");
  Exact bomb(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize())));
  EXPECT_FALSE(user->verify(bomb.bytes()));
}

TEST(HostileBytes, a_schema_whose_file_identifier_is_not_four_characters_is_refused) {
  const auto good = Family<TradeEvent>::bfbs();
  Exact bfbs(good);
  const auto identifier = std::ranges::search(bfbs.bytes(), std::as_bytes(std::span("MRTR", 4)));
  ASSERT_FALSE(identifier.empty());
  identifier[2] = std::byte{0};
  Registry registry;
  EXPECT_FALSE(registry.add_bfbs("m", EventTypeId{1000}, bfbs.bytes(), "", ""));
}

TEST(HostileBytes, mutated_binary_schemas_are_refused_or_used_within_bounds) {
  Registry registry = Registry::built_in();
  auto events = samples(registry);
  std::mt19937_64 random(7);
  int accepted = 0;
  for (auto& [type, event] : events) {
    for (int round = 0; round < 5'000; ++round) {
      Exact bfbs(type->bfbs());
      for (auto flips = 1 + random() % 3; flips > 0; --flips)
        bfbs.bytes()[random() % bfbs.bytes().size()] =
            static_cast<std::byte>(random() % 2 == 0 ? random() : random() % 20);
      Registry other;
      const auto added = other.add_bfbs("m", EventTypeId{1000}, bfbs.bytes(), "", "");
      if (!added) continue;
      ++accepted;
      Exact payload(event);
      if ((*added)->verify(payload.bytes())) use(**added, payload.bytes());
      (void)(*added)->from_json("{}");
    }
  }
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace millrace::schemas
