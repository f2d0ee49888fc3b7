// Proves that care notes the keys of every sealed segment, in small steps, what another life left bad or undone too,
// and that it stands in no deletion's way.
#include "wal/key_index.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "wal/chain.hpp"
#include "wal/fault_file_system.hpp"
#include "wal/testing/keyed_events.hpp"

namespace millrace::wal {
namespace {

using namespace testing;

WriterOptions keyed_segments(std::uint64_t size = 16384) {
  WriterOptions options = small_segments(size);
  options.keys = std::make_shared<const KeyDefinition>(keyed());
  return options;
}
void add_keyed(Writer& writer, int batches) {
  for (int i = 0; i < batches; ++i) {
    const Sequence first = writer.publishers().at(0).last_sequence.next();
    std::vector<std::byte> bytes;
    for (std::uint64_t j = 0; j < 8; ++j) append_keyed(bytes, first.value() + j, "k" + std::to_string(j));
    ASSERT_TRUE(writer.append(publisher, Epoch(1), first, 8, bytes, WallTime{1}));
  }
  ASSERT_TRUE(writer.sync());
}
// All the care there is; the number of steps.
int care(Writer& writer) {
  int steps = 0;
  while (auto ticket = writer.take_care(WallTime{INT64_MIN}, true)) {
    EXPECT_TRUE(writer.complete_care(*ticket, ticket->run()));
    if (++steps > 10'000) break;
  }
  return steps;
}
std::size_t good_files(FaultFileSystem& files) {
  const auto chain = list_chain(files, "t").value();
  return static_cast<std::size_t>(std::ranges::count_if(chain, [&](const Link& link) {
    return link.end && read_key_index(files, "t", link.name, link.log_id, *link.end, keyed().fingerprint).has_value();
  }));
}

TEST(KeyIndex, CareNotesTheKeysOfEverySealedSegmentOnce) {
  FaultFileSystem files;
  auto writer = begin(files, keyed_segments());
  add_keyed(*writer, 200);
  const std::size_t sealed = list_chain(files, "t").value().size() - 1;
  ASSERT_GT(sealed, 4u);
  EXPECT_EQ(good_files(files), 0u);
  EXPECT_GE(care(*writer), static_cast<int>(sealed));
  EXPECT_EQ(good_files(files), sealed);
  EXPECT_EQ(care(*writer), 0) << "nothing is left to do";
  add_keyed(*writer, 100);
  EXPECT_GT(care(*writer), 0);
  EXPECT_EQ(good_files(files), list_chain(files, "t").value().size() - 1);
}

TEST(KeyIndex, WithoutADefinitionOfAKeyNoneAreNoted) {
  FaultFileSystem files;
  auto writer = begin(files, small_segments(16384));
  add_keyed(*writer, 100);
  care(*writer);
  EXPECT_EQ(good_files(files), 0u);
}

TEST(KeyIndex, ANewLifeMakesWhatIsMissingOrBad) {
  FaultFileSystem files;
  std::size_t sealed = 0;
  {
    auto writer = begin(files, keyed_segments());
    add_keyed(*writer, 200);
    care(*writer);
    sealed = good_files(files);
    ASSERT_GT(sealed, 4u);
  }
  const auto chain = list_chain(files, "t").value();
  const auto path = [&](std::size_t i) { return join("t", to_keys_name(chain[i].name)); };
  ASSERT_TRUE(files.unlink(path(0)));
  files.bytes_of(path(1))->back() ^= std::byte{1};
  const auto untouched = *files.bytes_of(path(2));
  ASSERT_EQ(good_files(files), sealed - 2);
  auto writer = begin(files, keyed_segments());
  care(*writer);
  EXPECT_EQ(good_files(files), sealed + 1) << "the one that was open too";
  EXPECT_EQ(*files.bytes_of(path(2)), untouched);
}

TEST(KeyIndex, ALargeSegmentIsReadInSteps) {
  FaultFileSystem files;
  auto writer = begin(files, keyed_segments(16 << 20));
  while (list_chain(files, "t").value().size() < 2) add_keyed(*writer, 5000);
  int steps = 0;
  for (;; ++steps) {
    const std::uint64_t before = files.bytes_read();
    auto ticket = writer->take_care(WallTime{INT64_MIN}, true);
    if (!ticket) break;
    ASSERT_TRUE(writer->complete_care(*ticket, ticket->run()));
    EXPECT_LT(files.bytes_read() - before, care_step_bytes + (1u << 20));
  }
  EXPECT_GE(steps, 2 * 3) << "the seal's too";
  EXPECT_EQ(good_files(files), 1u);
}

TEST(KeyIndex, ASegmentThatIsBeingReadMayBeDeletedAndRecycled) {
  FaultFileSystem files;
  auto writer = begin(files, keyed_segments(16 << 20));
  while (list_chain(files, "t").value().size() < 2) add_keyed(*writer, 5000);
  const auto has = [&](std::string_view end) {
    return std::ranges::any_of(files.list("t").value(), [&](const auto& name) { return name.ends_with(end); });
  };
  for (int behind_seal = 0; behind_seal < 2; behind_seal += has(".seal") ? 1 : 0) {
    auto ticket = writer->take_care(WallTime{INT64_MIN}, true);
    ASSERT_TRUE(ticket);
    ASSERT_TRUE(writer->complete_care(*ticket, ticket->run()));
  }
  ASSERT_FALSE(has(".keys")) << "it is under way";
  ASSERT_TRUE(writer->retain(0));
  EXPECT_EQ(list_chain(files, "t").value().size(), 1u);
  EXPECT_EQ(care(*writer), 0);
  EXPECT_FALSE(has(".keys"));
}

// There is no good file then, so who wants a snapshot reads the segment and is told.
TEST(KeyIndex, ADamagedSegmentGetsNoneAndIsNotTriedForEver) {
  FaultFileSystem files;
  auto writer = begin(files, keyed_segments());
  add_keyed(*writer, 200);
  const auto chain = list_chain(files, "t").value();
  (*files.bytes_of(join("t", to_file_name(chain[1].name))))[*chain[1].end - 20] ^= std::byte{1};
  EXPECT_LT(care(*writer), 1000);
  EXPECT_EQ(good_files(files), chain.size() - 2);
}

}  // namespace
}  // namespace millrace::wal
