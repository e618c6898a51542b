import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.product.aggregate({ _min: { price: true }, _avg: { price: true }, _max: { price: true } }));
}
